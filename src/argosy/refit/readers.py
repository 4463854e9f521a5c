"""Several processes that read files, so that one hostile file can end a reader and nothing else."""

from __future__ import annotations

import gc
import multiprocessing
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess

import msgspec

from argosy.refit.reader import Reader
from argosy.refit.record import Record
from argosy.refit.rule import Rule

_BATCH = 12
Job = tuple[str, bytes]
Done = Callable[[str, "Record | None"], None]
# Called in each process; what it returns need not be sent there.
Load = Callable[[], Sequence[Rule]]


class _Desk:
    """One reading process and the files that it has before it."""

    def __init__(self, root: str, load: Load, beside: Sequence[_Desk]) -> None:
        method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
        context: SpawnContext = multiprocessing.get_context(method)  # type: ignore[assignment]
        self.pipe, other = context.Pipe()
        # A forked reader that held our ends of the pipes would never see that we have gone.
        ours = [self.pipe, *(desk.pipe for desk in beside)] if method == "fork" else []
        self.process: BaseProcess = context.Process(
            target=_serve, args=(root, load, other, ours), daemon=True
        )
        self.process.start()
        other.close()
        self.batch: list[Job] = []

    def give(self, batch: list[Job]) -> None:
        self.batch = batch
        self.pipe.send_bytes(msgspec.msgpack.encode(batch))

    def end(self) -> None:
        self.pipe.close()
        self.process.join(1.0)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def read_files(root: str, jobs: Sequence[Job], processes: int, done: Done, load: Load) -> None:
    """Read files in several processes and hand each record to `done` as it comes.

    jobs: relative paths, each with the digest that is known of it. A process that dies on a file is
    replaced, and the file told as one that cannot be read. load: returns the rules; a function of a module,
    or a partial of one.
    """
    todo = deque(jobs)
    desks: list[_Desk] = []
    try:
        for _ in range(min(processes, max(len(jobs) // _BATCH, 1))):
            desks.append(_Desk(root, load, desks))
        for desk in desks:
            _feed(desk, todo)
        while busy := {desk.pipe: desk for desk in desks if desk.batch}:
            for pipe in wait(list(busy)):
                _take(busy[pipe], desks, load, partial(_Desk, root, load), todo, done)  # type: ignore[index]
    finally:
        for desk in desks:
            desk.end()


def _feed(desk: _Desk, todo: deque[Job]) -> None:
    batch = [todo.popleft() for _ in range(min(_BATCH, len(todo)))]
    desk.batch = []
    if batch:
        desk.give(batch)


def _take(
    desk: _Desk,
    desks: list[_Desk],
    load: Load,
    make: Callable[[Sequence[_Desk]], _Desk],
    todo: deque[Job],
    done: Done,
) -> None:
    """Take one file's record from a desk; a desk that has gone is replaced."""
    try:
        record = msgspec.msgpack.decode(desk.pipe.recv_bytes(), type=Record | None)
    except (EOFError, OSError):
        desk.end()
        path = desk.batch[0][0]
        reason = f"cannot be read: it made the reader end (exit code {desk.process.exitcode})"
        done(path, Reader("", load()).refuse(path, reason))
        todo.extendleft(reversed(desk.batch[1:]))
        desks.remove(desk)
        desks.append(make(desks))
        _feed(desks[-1], todo)
        return
    done(desk.batch.pop(0)[0], record)
    if not desk.batch:
        _feed(desk, todo)


def _serve(root: str, load: Load, pipe: Connection, ours: Sequence[Connection]) -> None:
    """Read what is asked for until the other end goes."""
    for end in ours:
        end.close()
    # What was there before the fork is no garbage, and stays in memory that is shared.
    gc.freeze()
    gc.enable()
    reader = Reader(root, load())
    try:
        while True:
            for path, known in msgspec.msgpack.decode(pipe.recv_bytes(), type=list[Job]):
                pipe.send_bytes(msgspec.msgpack.encode(reader.read(path, known)))
    except (EOFError, OSError, KeyboardInterrupt):
        pass
