"""Watches a folder of logs for growth (inotify(7)); nothing is polled.

Events of one burst are taken together: an agent that writes a thousand lines is told of once, not a
thousand times.
"""

from __future__ import annotations

import asyncio
import errno
import os
import struct
from typing import TYPE_CHECKING

from argosy.engine.inotify import CHANGE, MODIFY, OVERFLOW, watch
from argosy.fault import Fault, MissingError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_EVENT = struct.Struct("iIII")
_BURST_S = 0.02


class LogWatch:
    """Calls `on_growth(logs)` with the logs of `folder` that have grown in a burst.

    on_first(logs): called before that with those that grow first in it.
    Raises MissingError: the kernel grants no more watches, or the folder is not there.
    """

    def __init__(
        self,
        folder: Path,
        loop: asyncio.AbstractEventLoop,
        on_growth: Callable[[list[Path]], None],
        on_first: Callable[[list[Path]], None] = lambda _: None,
    ) -> None:
        self._folder = folder
        self._loop = loop
        self._on_growth, self._on_first = on_growth, on_first
        self._inotify = _watch_folder(folder)
        self._first: list[Path] = []
        self._again: asyncio.TimerHandle | None = None
        loop.add_reader(self._inotify, self._wake)

    def _wake(self) -> None:
        """Let the burst pass, then take all of it at once."""
        self._first = self._take_grown()
        if self._first:
            self._on_first(self._first)
            self._loop.remove_reader(self._inotify)
            self._again = self._loop.call_later(_BURST_S, self._take)

    def _take(self) -> None:
        self._on_growth(sorted({*self._first, *self._take_grown()}))
        self._loop.add_reader(self._inotify, self._wake)

    def _take_grown(self) -> list[Path]:
        return [self._folder / name for name in self._grown() if name.endswith(".log")]

    def _grown(self) -> set[str]:
        names: set[str] = set()
        while True:
            try:
                data = os.read(self._inotify, 65536)
            except BlockingIOError:
                return names
            at = 0
            while at < len(data):
                _, kind, _, length = _EVENT.unpack_from(data, at)
                at += _EVENT.size
                if kind & OVERFLOW:  # events were lost: any may have grown
                    names.update(os.listdir(self._folder))
                names.add(os.fsdecode(data[at : at + length].rstrip(b"\0")))
                at += length

    def close(self) -> None:
        """Stop watching."""
        if self._again:
            self._again.cancel()
        self._loop.remove_reader(self._inotify)
        os.close(self._inotify)


async def appearance(folder: Path, loop: asyncio.AbstractEventLoop) -> None:
    """Return once `folder` is there: what is nearest to it on the way is watched meanwhile.

    Raises MissingError: the kernel grants no more watches.
    """
    while not folder.is_dir():
        way = (folder, *folder.parents)
        missing, nearest = next((way[i], way[i + 1]) for i in range(len(way) - 1) if way[i + 1].is_dir())
        inotify = _watch_folder(nearest, CHANGE)
        changed = asyncio.Event()
        loop.add_reader(inotify, changed.set)
        try:
            if not missing.exists():
                await changed.wait()
        finally:
            loop.remove_reader(inotify)
            os.close(inotify)


def _watch_folder(folder: Path, kinds: int = MODIFY) -> int:
    try:
        return watch([folder], kinds)
    except OSError as error:
        hint = "raise fs.inotify.max_user_instances" if error.errno == errno.EMFILE else ""
        words = f"the folder of the logs cannot be watched: {error.strerror}"
        raise MissingError(Fault(str(folder), "inotify", words, hint)) from error
