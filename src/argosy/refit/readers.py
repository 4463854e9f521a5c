"""Several processes that read files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from argosy.refit.desks import Work, work_through
from argosy.refit.reader import Reader
from argosy.refit.record import Record
from argosy.refit.rule import Rule

_BATCH = 12
Job = tuple[str, bytes]
Done = Callable[[str, "Record | None"], None]
# Called in each process; what it returns need not be sent there.
Load = Callable[[], Sequence[Rule]]


def read_files(root: str, jobs: Sequence[Job], processes: int, done: Done, load: Load) -> None:
    """Read files in several processes and hand each record to `done` as it comes.

    jobs: relative paths, each with the digest that is known of it. A file that a process dies on is told as
    one that cannot be read. load: returns the rules; a function of a module, or a partial of one.
    """
    decoder = msgspec.msgpack.Decoder(Record | None)

    def take(number: int, answer: bytes | int) -> None:
        path = jobs[number][0]
        if isinstance(answer, int):
            reason = f"cannot be read: it made the reader end (exit code {answer})"
            done(path, Reader("", load()).refuse(path, reason))
        else:
            done(path, decoder.decode(answer))

    work_through(list(map(msgspec.msgpack.encode, jobs)), processes, partial(_load, root, load), take, _BATCH)


def _load(root: str, load: Load) -> Work:
    reader = Reader(root, load())
    decoder = msgspec.msgpack.Decoder(Job)

    def read(job: bytes) -> bytes:
        return msgspec.msgpack.encode(reader.read(*decoder.decode(job)))

    return read
