"""Watches a directory of logs for growth by inotify(7), without polling.

Events of one burst are coalesced: an agent that writes a thousand lines is reported once.
"""

from __future__ import annotations

import asyncio
import errno
import os
import struct
from typing import TYPE_CHECKING

from argosy.engine.state.filesystem import ANY_CHANGE, MODIFY, OVERFLOW, open_watch
from argosy.fault import Fault, MissingError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_INOTIFY_EVENT = struct.Struct("iIII")
_COALESCE_S = 0.02


class LogWatch:
    """Calls `on_growth(logs)` with the logs of `log_dir` that have grown in a burst.

    on_first_growth(logs): called at the beginning of the burst with the first ones.
    Raises MissingError: the kernel grants no more watches, or the directory does not exist.
    """

    def __init__(
        self,
        log_dir: Path,
        loop: asyncio.AbstractEventLoop,
        on_growth: Callable[[list[Path]], None],
        on_first_growth: Callable[[list[Path]], None] = lambda _: None,
    ) -> None:
        self._log_dir = log_dir
        self._loop = loop
        self._on_growth, self._on_first_growth = on_growth, on_first_growth
        self._inotify = _watch_directory(log_dir)
        self._first_grown: list[Path] = []
        self._burst_timer: asyncio.TimerHandle | None = None
        loop.add_reader(self._inotify, self._on_readable)

    def _on_readable(self) -> None:
        """Wait for the end of the burst, then report all of it at once."""
        self._first_grown = self._read_grown_logs()
        if self._first_grown:
            self._on_first_growth(self._first_grown)
            self._loop.remove_reader(self._inotify)
            self._burst_timer = self._loop.call_later(_COALESCE_S, self._end_burst)

    def _end_burst(self) -> None:
        self._on_growth(sorted({*self._first_grown, *self._read_grown_logs()}))
        self._loop.add_reader(self._inotify, self._on_readable)

    def _read_grown_logs(self) -> list[Path]:
        return [self._log_dir / name for name in self._read_event_names() if name.endswith(".log")]

    def _read_event_names(self) -> set[str]:
        names: set[str] = set()
        while True:
            try:
                data = os.read(self._inotify, 65536)
            except BlockingIOError:
                return names
            at = 0
            while at < len(data):
                _, kind, _, length = _INOTIFY_EVENT.unpack_from(data, at)
                at += _INOTIFY_EVENT.size
                if kind & OVERFLOW:  # events were lost: any log may have grown
                    names.update(os.listdir(self._log_dir))
                names.add(os.fsdecode(data[at : at + length].rstrip(b"\0")))
                at += length

    def close(self) -> None:
        """Stop watching."""
        if self._burst_timer:
            self._burst_timer.cancel()
        self._loop.remove_reader(self._inotify)
        os.close(self._inotify)


async def wait_for_directory(directory: Path, loop: asyncio.AbstractEventLoop) -> None:
    """Return once `directory` exists; meanwhile its nearest existing parent is watched.

    Raises MissingError: the kernel grants no more watches.
    """
    while not directory.is_dir():
        path_and_parents = (directory, *directory.parents)
        missing, nearest = next(
            (path_and_parents[i], path_and_parents[i + 1])
            for i in range(len(path_and_parents) - 1)
            if path_and_parents[i + 1].is_dir()
        )
        inotify = _watch_directory(nearest, ANY_CHANGE)
        changed = asyncio.Event()
        loop.add_reader(inotify, changed.set)
        try:
            if not missing.exists():
                await changed.wait()
        finally:
            loop.remove_reader(inotify)
            os.close(inotify)


def _watch_directory(directory: Path, event_mask: int = MODIFY) -> int:
    try:
        return open_watch([directory], event_mask)
    except OSError as error:
        hint = "raise fs.inotify.max_user_instances" if error.errno == errno.EMFILE else ""
        message = f"the log directory cannot be watched: {error.strerror}"
        raise MissingError(Fault(str(directory), "inotify", message, hint)) from error
