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

from argosy.engine.filesystem import punch_hole
from argosy.engine.logreader import claimed_from
from argosy.engine.logs import Mark, append_marks, log_size, read_marks, shorten_index
from argosy.engine.logwatch import LogWatch
from argosy.engine.retention import Limits, plan_cuts

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable
    from pathlib import Path

_BLOCK_BYTES = 4096
_AGE_LOOK_S = 60.0


class LogKeeper:
    """Watches the logs in `folder`: notes when they grow, and keeps them within their limits."""

    def __init__(self, folder: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._folder = folder
        self._loop = loop
        self._limits = Limits()
        self._sizes: dict[str, int] = {}
        self._held: dict[str, int] = {}
        self._seams: dict[str, Mark] = {}  # of processes whose output has not been seen yet
        self._age_timer: asyncio.TimerHandle | None = None
        self._watch = LogWatch(folder, loop, self.grown, self._note_seams)

    def begin(self, log: Path, seam: Mark) -> None:
        """A process begins to write to this log; that is noted with its first output."""
        self._seams[log.name] = seam
        if self._sizes.get(log.name, 0) > seam.offset:
            self._note_seams([log])

    def begin_again(self, log: Path, seam: Mark) -> None:
        """A process has begun to write to this log under another supervisor, which may not have noted it."""
        if not any(mark.pid == seam.pid for mark in read_marks(log)):
            self._seams[log.name] = seam
            if log_size(log) > seam.offset:
                self._note_seams([log])

    def _note_seams(self, logs: Iterable[Path]) -> None:
        """Note whose first output it was that made these grow, before a reader comes to it."""
        for log in logs:
            seam = self._seams.pop(log.name, None)
            if seam is not None:
                append_marks(log, seam)

    def keep(self, limits: Limits) -> None:
        """Hold these limits from now on."""
        self._limits = limits
        self.grown(sorted(self._folder.glob("*.log")))
        if self._age_timer is not None:
            self._age_timer.cancel()
            self._age_timer = None
        if limits.age_s is not None:
            self._drop_old(limits.age_s)

    def watch_again(self) -> None:
        """Watch the folder that is there now: the one before was deleted."""
        self._watch.close()
        self._watch = LogWatch(self._folder, self._loop, self.grown, self._note_seams)

    def grown(self, logs: Iterable[Path]) -> None:
        """Take note of logs that have grown, and cut what is too long."""
        now = time.time()
        for log in logs:
            try:
                found = log.stat()
            except FileNotFoundError:
                self._sizes.pop(log.name, None)
                self._held.pop(log.name, None)
                continue
            if found.st_size != self._sizes.get(log.name):
                self._sizes[log.name] = found.st_size
                self._note_seams([log])
                append_marks(log, Mark(now, found.st_size))
            self._held[log.name] = found.st_blocks * 512
        for name, cut in plan_cuts(self._held, self._limits).items():
            end = self._sizes[name] - cut.keep_bytes
            self._held[name] = cut_log(self._folder / name, end, is_hard=cut.is_hard)

    def _drop_old(self, age_s: float) -> None:
        """Cut what was written longer ago than `age_s`, by the marks."""
        self._age_timer = self._loop.call_later(min(age_s / 4, _AGE_LOOK_S), self._drop_old, age_s)
        before = time.time() - age_s
        for name in self._sizes:
            log = self._folder / name
            old = [mark.offset for mark in read_marks(log) if mark.at_s < before]
            if old and self._held.get(name, 0) > _BLOCK_BYTES:
                self._held[name] = cut_log(log, old[-1], is_hard=False)

    def close(self) -> None:
        """Stop watching."""
        if self._age_timer is not None:
            self._age_timer.cancel()
        self._watch.close()


def cut_log(log: Path, end: int, *, is_hard: bool) -> int:
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
        end = (end if is_hard else claimed_from(descriptor, end)) // block * block
        if end > 0:
            _punch(descriptor, end)
        held = os.fstat(descriptor).st_blocks * 512
        if held < before.st_blocks * 512:
            shorten_index(log, end)
        return held
    finally:
        os.close(descriptor)


def _punch(descriptor: int, end: int) -> None:
    try:
        punch_hole(descriptor, 0, end)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS):
            raise
