"""Several processes that read files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import msgspec

from argosy.refit.desks import Work, work_through
from argosy.refit.reader import Job, Reader
from argosy.refit.record import Record
from argosy.refit.rule import Rule

_BATCH = 12
# What is read in one go.
Jobs = tuple[Job, ...]
Done = Callable[[str, "Record | None"], None]
# Called in each process; what it returns need not be sent there.
Load = Callable[[], Sequence[Rule]]


def read_files(root: str, jobs: Sequence[Job], processes: int, done: Done, load: Load) -> None:
    """Read files in several processes and hand each record to `done` as it comes.

    jobs: relative paths, each with the digest that is known of it. A file that a process dies on is told as
    one that cannot be read. load: returns the rules; a function of a module, or a partial of one.
    """
    reader = Reader("", load())
    texts = tuple(job for job in jobs if reader.are_together(job[0]))
    alone = [(job,) for job in jobs if job not in set(texts)]
    dead: list[Jobs] = []

    def take(group: Jobs, answer: bytes | int) -> None:
        if isinstance(answer, int) and len(group) > 1:
            dead.extend((job,) for job in group)
        elif isinstance(answer, int):
            reason = f"cannot be read: it made the reader end (exit code {answer})"
            done(group[0][0], reader.refuse(group[0][0], reason))
        else:
            for (path, _), record in zip(group, _RECORDS.decode(answer), strict=True):
                done(path, record)

    def work(groups: Sequence[Jobs]) -> None:
        data = [msgspec.msgpack.encode(group) for group in groups]
        work_through(
            data, processes, partial(_load, root, load), lambda at, answer: take(groups[at], answer), _BATCH
        )

    # A program is waited for while the other process reads: it is asked first.
    work([texts, *alone] if texts else alone)
    if dead:
        work(dead)


_RECORDS: Final = msgspec.msgpack.Decoder(list[Record | None])
_JOBS: Final = msgspec.msgpack.Decoder(Jobs)


def _load(root: str, load: Load) -> Work:
    reader = Reader(root, load())

    def read(jobs: bytes) -> bytes:
        return msgspec.msgpack.encode(reader.read_together(_JOBS.decode(jobs)))

    return read
