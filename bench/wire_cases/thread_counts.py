"""Contexts and threads of a process, counted from outside by what libzmq calls its threads."""

from __future__ import annotations

from pathlib import Path

import msgspec


class ThreadCounts(msgspec.Struct, frozen=True):
    """A context has one reaper; io: threads that move its bytes; all: every thread of the process."""

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
