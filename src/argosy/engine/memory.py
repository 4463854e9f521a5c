"""The memory of a process: resident and proportional set size, in bytes."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.state import State

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from argosy.engine.unit import Unit

_EVERY_S = 1.0
_FIRST_S = 0.1
# The kernel walks all pages of a process for its proportional size: milliseconds for one of a large family.
# Once each is known, what that takes is at most this share of a processor.
_SHARE = 0.0005
# One that has as many resident pages as before is not read again for so long; its share in those that it
# has in common with others may be another.
_KNOWN_S = 600.0

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Memory(NamedTuple):
    """Resident pages, and resident pages with each shared one divided by its users."""

    rss_bytes: int
    pss_bytes: int


def read_resident(pid: int) -> int:
    """Return the resident bytes of `pid` by the quick /proc/PID/statm, 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE_BYTES
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0


def read_memory(pid: int) -> Memory | None:
    """Return the memory of `pid` from /proc/PID/smaps_rollup, or None when it may not be read."""
    found: dict[bytes, int] = {}
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                key, _, rest = line.partition(b":")
                if key in (b"Rss", b"Pss"):
                    found[key] = int(rest.split()[0]) * 1024
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    if len(found) != 2:
        return None
    return Memory(found[b"Rss"], found[b"Pss"])


class MemorySampler:
    """Reads the memory of one process after the other, those never read first; not while agents start.

    units(): those with a process of their own. on_sample(unit): called after each reading.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        units: Callable[[], list[Unit]],
        on_sample: Callable[[Unit], None],
    ) -> None:
        self._loop = loop
        self._units = units
        self._on_sample = on_sample
        self._turn = 0
        # Pid and resident bytes of each, when its memory was read last.
        self._resident: dict[str, tuple[int, int]] = {}
        self._timer = loop.call_later(_EVERY_S, self._sample)

    def _sample(self) -> None:
        units = [unit for unit in self._units() if unit.pid is not None]
        is_calm = not any(unit.state is State.STARTING for unit in units)
        took_s = 0.0
        unread = [unit for unit in units if unit.memory is None]
        if units and is_calm:
            self._turn = (self._turn + 1) % len(units)
            unit = unread[0] if unread else units[self._turn]
            pid = unit.pid or 0
            resident = (pid, read_resident(pid))
            is_recent = self._loop.time() - unit.memory_at < _KNOWN_S
            if unit in unread or not is_recent or self._resident.get(unit.name) != resident:
                self._resident[unit.name] = resident
                began_s = time.thread_time()
                unit.memory = read_memory(pid)
                took_s = time.thread_time() - began_s
                unit.memory_at = self._loop.time()
                self._on_sample(unit)
        pause_s = _FIRST_S if is_calm and len(unread) > 1 else max(_EVERY_S, took_s / _SHARE)
        self._timer = self._loop.call_later(pause_s, self._sample)

    def close(self) -> None:
        """Read no more."""
        self._timer.cancel()
