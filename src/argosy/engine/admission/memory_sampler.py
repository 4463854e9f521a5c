"""Samples the memory of processes: resident and proportional set size, in bytes."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from argosy.engine.protocol.state_machine import State

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_SAMPLE_INTERVAL_S = 1.0
_FIRST_SAMPLE_INTERVAL_S = 0.1
# For the proportional size the kernel walks all pages of a process, which can take milliseconds. Once each
# process has been read, sampling takes at most this share of a processor.
_MAX_CPU_SHARE = 0.0005
# A process with an unchanged number of resident pages is read again after this time: its share of the pages
# that it has in common with others may have changed.
_RESAMPLE_AFTER_S = 600.0

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ProcessMemory(NamedTuple):
    """Resident memory, and resident memory with each shared page divided by its users."""

    rss_bytes: int
    pss_bytes: int


def read_resident_bytes(pid: int) -> int:
    """Return the resident bytes of `pid` from /proc/PID/statm, 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE_BYTES
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0


def read_process_memory(pid: int) -> ProcessMemory | None:
    """Return the memory of `pid` from /proc/PID/smaps_rollup, or None if it cannot be read."""
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
    return ProcessMemory(found[b"Rss"], found[b"Pss"])


class SampledUnit(Protocol):
    """A unit whose memory is sampled. memory_sampled_at: on the clock of the event loop, in seconds."""

    name: str
    state: State
    memory: ProcessMemory | None
    memory_sampled_at: float

    @property
    def pid(self) -> int | None: ...


SampledT = TypeVar("SampledT", bound=SampledUnit)


class MemorySampler(Generic[SampledT]):
    """Reads the memory of one process at a time, unread ones first; not while agents start.

    units(): the units with a process of their own. on_sample(unit): called after each reading.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        units: Callable[[], list[SampledT]],
        on_sample: Callable[[SampledT], None],
    ) -> None:
        self._loop = loop
        self._units = units
        self._on_sample = on_sample
        self._next_index = 0
        # Pid and resident bytes of each unit at its last reading.
        self._last_resident: dict[str, tuple[int, int]] = {}
        self._timer = loop.call_later(_SAMPLE_INTERVAL_S, self._sample)

    def _sample(self) -> None:
        units = [unit for unit in self._units() if unit.pid is not None]
        has_no_starting_unit = not any(unit.state is State.STARTING for unit in units)
        took_s = 0.0
        unread = [unit for unit in units if unit.memory is None]
        if units and has_no_starting_unit:
            self._next_index = (self._next_index + 1) % len(units)
            unit = unread[0] if unread else units[self._next_index]
            pid = unit.pid or 0
            resident = (pid, read_resident_bytes(pid))
            is_recent = self._loop.time() - unit.memory_sampled_at < _RESAMPLE_AFTER_S
            if unit in unread or not is_recent or self._last_resident.get(unit.name) != resident:
                self._last_resident[unit.name] = resident
                began_s = time.thread_time()
                unit.memory = read_process_memory(pid)
                took_s = time.thread_time() - began_s
                unit.memory_sampled_at = self._loop.time()
                self._on_sample(unit)
        pause_s = (
            _FIRST_SAMPLE_INTERVAL_S
            if has_no_starting_unit and len(unread) > 1
            else max(_SAMPLE_INTERVAL_S, took_s / _MAX_CPU_SHARE)
        )
        self._timer = self._loop.call_later(pause_s, self._sample)

    def close(self) -> None:
        """Stop sampling."""
        self._timer.cancel()
