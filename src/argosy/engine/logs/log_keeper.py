"""Keeps the agents' output within its limits while they write it.

The writers own their files (see `logs`), so nothing is renamed or truncated under them: the blocks
at the beginning of a file are given back to the disk, and what remains stays at its offset. Whole
blocks only, so no byte that is kept is ever touched; readers pass over the rest of the torn line.
What a reader claims (see `logreader`) is kept for it, as long as the sum of all logs is within the
total.
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
    """Watches the logs in `folder`: notes when they grow, and keeps them within their limits."""

    def __init__(self, log_dir: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._log_dir = log_dir
        self._loop = loop
        self._limits = LogLimits()
        self._sizes: dict[str, int] = {}
        self._disk_bytes: dict[str, int] = {}
        self._pending_process_starts: dict[
            str, LogMark
        ] = {}  # of processes whose output has not been seen yet
        self._age_timer: asyncio.TimerHandle | None = None
        self._watch = LogWatch(log_dir, loop, self.on_growth, self._record_process_starts)

    def expect_process_output(self, log: Path, process_start: LogMark) -> None:
        """A process begins to write to this log; that is noted with its first output."""
        self._pending_process_starts[log.name] = process_start
        if self._sizes.get(log.name, 0) > process_start.offset:
            self._record_process_starts([log])

    def expect_adopted_output(self, log: Path, process_start: LogMark) -> None:
        """A process has begun to write to this log under another supervisor, which may not have noted it."""
        if not any(mark.pid == process_start.pid for mark in read_marks(log)):
            self._pending_process_starts[log.name] = process_start
            if log_size(log) > process_start.offset:
                self._record_process_starts([log])

    def _record_process_starts(self, logs: Iterable[Path]) -> None:
        """Note whose first output it was that made these grow, before a reader comes to it."""
        for log in logs:
            process_start = self._pending_process_starts.pop(log.name, None)
            if process_start is not None:
                append_marks(log, process_start)

    def set_limits(self, limits: LogLimits) -> None:
        """Hold these limits from now on."""
        self._limits = limits
        self.on_growth(sorted(self._log_dir.glob("*.log")))
        if self._age_timer is not None:
            self._age_timer.cancel()
            self._age_timer = None
        if limits.age_s is not None:
            self._trim_by_age(limits.age_s)

    def rewatch(self) -> None:
        """Watch the folder that is there now: the one before was deleted."""
        self._watch.close()
        self._watch = LogWatch(self._log_dir, self._loop, self.on_growth, self._record_process_starts)

    def on_growth(self, logs: Iterable[Path]) -> None:
        """Take note of logs that have grown, and cut what is too long."""
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
        """Cut what was written longer ago than `age_s`, by the marks."""
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
    """Give back the blocks of a log that lie before `end` and that nobody reads; return what it holds then.

    is_hard: also those that somebody reads. A file system that cannot do it leaves the log as it is.
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
