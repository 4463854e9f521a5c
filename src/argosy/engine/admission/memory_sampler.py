"""Samples the memory of processes, resident and proportional set size in bytes, and keeps the peaks."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from argosy.wire.atomic_file import write_atomic

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence
    from pathlib import Path

_SAMPLE_INTERVAL_S = 1.0
_FIRST_SAMPLE_INTERVAL_S = 0.1
# For the proportional size the kernel walks all pages of a process, which can take milliseconds. Once each
# process has been read, sampling takes at most this share of a processor.
_MAX_CPU_SHARE = 0.0005
# A process with an unchanged number of resident pages is read again after this time: its share of the pages
# that it has in common with others may have changed.
_RESAMPLE_AFTER_S = 600.0

# A change of a peak smaller than this is not written.
_MIN_WRITTEN_CHANGE = 0.05

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


class MemoryHistory:
    """How much memory each agent needed last time: the largest sample of its last process.

    Read from `path` at once, and written there when one changes. Only admission uses it, so a lost write is
    harmless.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pids: dict[str, int] = {}
        self._peak_bytes: dict[str, int] = {}
        with contextlib.suppress(OSError, msgspec.DecodeError):
            self._peak_bytes = msgspec.json.decode(path.read_bytes(), type=dict[str, int])
        self._written = dict(self._peak_bytes)

    def peak_bytes(self, agent: str) -> int | None:
        """Return the bytes that an agent needed last time, None if unknown."""
        return self._peak_bytes.get(agent)

    def record_sample(self, agent: str, pid: int, sampled_bytes: int) -> None:
        """Record a memory sample of an agent's process."""
        before = self._peak_bytes.get(agent, 0) if self._pids.get(agent) == pid else 0
        self._pids[agent] = pid
        peak = self._peak_bytes[agent] = max(before, sampled_bytes)
        if abs(peak - self._written.get(agent, 0)) > _MIN_WRITTEN_CHANGE * peak:
            self._write()

    def _write(self) -> None:
        self._written = dict(self._peak_bytes)
        with contextlib.suppress(OSError):
            write_atomic(self._path, msgspec.json.encode(self._peak_bytes))


class SampledProcess(Protocol):
    """A process whose memory is sampled. memory_sampled_at: on the clock of the event loop, in seconds."""

    name: str
    pid: int | None
    memory: ProcessMemory | None
    memory_sampled_at: float


class MemorySampler:
    """Reads the memory of one process at a time, unread ones first; not while agents start.

    processes(): all of them. is_starting(): whether an agent starts.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        processes: Callable[[], Sequence[SampledProcess]],
        is_starting: Callable[[], bool],
        history: MemoryHistory,
    ) -> None:
        self._loop = loop
        self._processes = processes
        self._is_starting = is_starting
        self._history = history
        self._next_index = 0
        # Pid and resident bytes of each process at its last reading.
        self._last_resident: dict[str, tuple[int, int]] = {}
        self._timer = loop.call_later(_SAMPLE_INTERVAL_S, self._sample)

    def _sample(self) -> None:
        processes = [process for process in self._processes() if process.pid is not None]
        unread = [process for process in processes if process.memory is None]
        may_sample = bool(processes) and not self._is_starting()
        took_s = 0.0
        if may_sample:
            self._next_index = (self._next_index + 1) % len(processes)
            process = unread[0] if unread else processes[self._next_index]
            pid = process.pid or 0
            resident = (pid, read_resident_bytes(pid))
            is_recent = self._loop.time() - process.memory_sampled_at < _RESAMPLE_AFTER_S
            if unread or not is_recent or self._last_resident.get(process.name) != resident:
                self._last_resident[process.name] = resident
                began_s = time.thread_time()
                process.memory = read_process_memory(pid)
                took_s = time.thread_time() - began_s
                process.memory_sampled_at = self._loop.time()
                if process.memory is not None:
                    self._history.record_sample(process.name, pid, process.memory.pss_bytes)
        pause_s = (
            _FIRST_SAMPLE_INTERVAL_S
            if may_sample and len(unread) > 1
            else max(_SAMPLE_INTERVAL_S, took_s / _MAX_CPU_SHARE)
        )
        self._timer = self._loop.call_later(pause_s, self._sample)

    def close(self) -> None:
        """Stop sampling."""
        self._timer.cancel()
