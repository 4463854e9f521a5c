"""Watches a folder of logs for growth (inotify(7)); nothing is polled.

The standard library has no inotify, so three calls go through ctypes. Events of one burst are
taken together: an agent that writes a thousand lines is told of once, not a thousand times.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from pathlib import Path

_IN_MODIFY = 0x2
_EVENT = struct.Struct("iIII")
_BURST_S = 0.02


class LogWatch:
    """Calls `on_growth(logs)` with the logs of `folder` that have grown in a burst."""

    def __init__(
        self, folder: Path, loop: asyncio.AbstractEventLoop, on_growth: Callable[[list[Path]], None]
    ) -> None:
        self._folder = folder
        self._loop = loop
        self._on_growth = on_growth
        libc = ctypes.CDLL(None, use_errno=True)
        self._inotify = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        watch = libc.inotify_add_watch(self._inotify, os.fsencode(folder), _IN_MODIFY)
        if self._inotify < 0 or watch < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
        self._again: asyncio.TimerHandle | None = None
        loop.add_reader(self._inotify, self._wake)

    def _wake(self) -> None:
        """Let the burst pass, then take all of it at once."""
        self._loop.remove_reader(self._inotify)
        self._again = self._loop.call_later(_BURST_S, self._take)

    def _take(self) -> None:
        logs = [self._folder / name for name in sorted(self._grown()) if name.endswith(".log")]
        if logs:
            self._on_growth(logs)
        self._loop.add_reader(self._inotify, self._wake)

    def _grown(self) -> set[str]:
        names: set[str] = set()
        while True:
            try:
                data = os.read(self._inotify, 65536)
            except BlockingIOError:
                return names
            at = 0
            while at < len(data):
                *_, length = _EVENT.unpack_from(data, at)
                at += _EVENT.size
                names.add(data[at : at + length].rstrip(b"\0").decode())
                at += length

    def close(self) -> None:
        """Stop watching."""
        if self._again:
            self._again.cancel()
        self._loop.remove_reader(self._inotify)
        os.close(self._inotify)
