"""Keeps the agents' logs within their limits while agents write them.

Agents have their files open (see `log_file`), so files are not renamed or truncated: the blocks at the
beginning of a file are freed, and the rest stays at its offset. Only whole blocks are freed, so no kept
byte changes; readers skip the rest of the torn line. What a reader has claimed (see `log_reader`) is
kept as long as all logs together are within the total limit.
"""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

from argosy.engine.logs.log_file import LogMark, append_marks, log_size, read_marks, shorten_index
from argosy.engine.logs.log_reader import first_claimed_offset
from argosy.engine.logs.log_retention import LogLimits, plan_cuts
from argosy.engine.logs.log_watch import LogWatch
from argosy.engine.state.filesystem import punch_hole

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable
    from pathlib import Path

_BLOCK_BYTES = 4096
_AGE_CHECK_INTERVAL_S = 60.0


class LogKeeper:
    """Watches the logs in `log_dir`: marks their growth, and keeps them within their limits."""

    def __init__(self, log_dir: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._log_dir = log_dir
        self._loop = loop
        self._limits = LogLimits()
        self._sizes: dict[str, int] = {}
        self._disk_bytes: dict[str, int] = {}
        self._pending_process_starts: dict[str, LogMark] = {}  # of processes without output so far
        self._age_timer: asyncio.TimerHandle | None = None
        self._watch = LogWatch(log_dir, loop, self.on_growth, self._record_process_starts)

    def expect_process_output(self, log: Path, process_start: LogMark) -> None:
        """Record the start of a process in this log with its first output."""
        self._pending_process_starts[log.name] = process_start
        if self._sizes.get(log.name, 0) > process_start.offset:
            self._record_process_starts([log])

    def expect_adopted_output(self, log: Path, process_start: LogMark) -> None:
        """Record the start of a process of an earlier supervisor, unless that has recorded it."""
        if not any(mark.pid == process_start.pid for mark in read_marks(log)):
            self._pending_process_starts[log.name] = process_start
            if log_size(log) > process_start.offset:
                self._record_process_starts([log])

    def _record_process_starts(self, logs: Iterable[Path]) -> None:
        """Write the pending start marks of these logs, before a reader gets to them."""
        for log in logs:
            process_start = self._pending_process_starts.pop(log.name, None)
            if process_start is not None:
                append_marks(log, process_start)

    def set_limits(self, limits: LogLimits) -> None:
        """Enforce these limits from now on."""
        self._limits = limits
        self.on_growth(sorted(self._log_dir.glob("*.log")))
        if self._age_timer is not None:
            self._age_timer.cancel()
            self._age_timer = None
        if limits.age_s is not None:
            self._trim_by_age(limits.age_s)

    def rewatch(self) -> None:
        """Watch the current directory, after the previous one was deleted."""
        self._watch.close()
        self._watch = LogWatch(self._log_dir, self._loop, self.on_growth, self._record_process_starts)

    def on_growth(self, logs: Iterable[Path]) -> None:
        """Mark the logs that have grown, and trim those that are too long."""
        now = time.time()
        for log in logs:
            try:
                found = log.stat()
            except FileNotFoundError:
                self._sizes.pop(log.name, None)
                self._disk_bytes.pop(log.name, None)
                continue
            if found.st_size != self._sizes.get(log.name):
                self._sizes[log.name] = found.st_size
                self._record_process_starts([log])
                append_marks(log, LogMark(now, found.st_size))
            self._disk_bytes[log.name] = found.st_blocks * 512
        for name, cut in plan_cuts(self._disk_bytes, self._limits).items():
            end = self._sizes[name] - cut.keep_bytes
            self._disk_bytes[name] = trim_log(self._log_dir / name, end, ignore_readers=cut.ignore_readers)

    def _trim_by_age(self, age_s: float) -> None:
        """Trim what was written more than `age_s` ago, by the marks."""
        self._age_timer = self._loop.call_later(
            min(age_s / 4, _AGE_CHECK_INTERVAL_S), self._trim_by_age, age_s
        )
        before = time.time() - age_s
        for name in self._sizes:
            log = self._log_dir / name
            old = [mark.offset for mark in read_marks(log) if mark.at_s < before]
            if old and self._disk_bytes.get(name, 0) > _BLOCK_BYTES:
                self._disk_bytes[name] = trim_log(log, old[-1], ignore_readers=False)

    def close(self) -> None:
        """Stop watching."""
        if self._age_timer is not None:
            self._age_timer.cancel()
        self._watch.close()


def trim_log(log: Path, end: int, *, ignore_readers: bool) -> int:
    """Free the blocks of a log before `end` that no reader has claimed; return its remaining disk usage.

    ignore_readers: free claimed blocks too. Without support of the file system the log stays unchanged.
    """
    try:
        descriptor = os.open(log, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        before = os.fstat(descriptor)
        block = max(before.st_blksize, _BLOCK_BYTES)
        end = (end if ignore_readers else first_claimed_offset(descriptor, end)) // block * block
        if end > 0:
            _punch_if_supported(descriptor, end)
        disk_bytes = os.fstat(descriptor).st_blocks * 512
        if disk_bytes < before.st_blocks * 512:
            shorten_index(log, end)
        return disk_bytes
    finally:
        os.close(descriptor)


def _punch_if_supported(descriptor: int, end: int) -> None:
    try:
        punch_hole(descriptor, 0, end)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS):
            raise
