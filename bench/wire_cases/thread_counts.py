"""Counts contexts and threads of a process by the names that libzmq gives its threads."""

from __future__ import annotations

from pathlib import Path

import msgspec


class ThreadCounts(msgspec.Struct, frozen=True):
    """contexts: one reaper thread each. io_threads: the I/O threads. total: all threads of the process."""

    contexts: int
    io_threads: int
    total: int


def count_threads(pid: int) -> ThreadCounts:
    """Count the threads of a process."""
    names = [each.read_text().strip() for each in Path(f"/proc/{pid}/task").glob("*/comm")]
    return ThreadCounts(
        contexts=sum("Reaper" in name for name in names),
        io_threads=sum("ZMQbg/IO" in name for name in names),
        total=len(names),
    )
