"""Work done in several processes, so that one hostile file can end a process and nothing else.

A pipe for each process and no thread in this one: which job a process died with is known, and what is
interrupted ends at once. The processes only ever look; to kill one loses nothing.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess

import msgspec

Work = Callable[[bytes], bytes]
# Called in each process; what it returns need not be sent there.
Load = Callable[[], Work]
Done = Callable[[int, "bytes | int"], None]
_Job = tuple[int, bytes]


def can_fork() -> bool:
    """Return whether processes here begin with all that this one has."""
    return "fork" in multiprocessing.get_all_start_methods()


def work_through(jobs: Sequence[bytes], processes: int, load: Load, done: Done, batch: int) -> None:
    """Have jobs done in several processes, and hand the answer to each to `done` as it comes.

    load: returns what does a job; where processes are not forked, a function of a module or a partial of one.
    done: is called with the number of a job and its answer, or the exit code of a process that died with it;
    such a one is replaced. batch: how many jobs a process is given at once.
    """
    todo = deque(enumerate(jobs))
    desks: list[_Desk] = []
    try:
        for _ in range(min(processes, max(len(jobs) // batch, 1))):
            desks.append(_Desk(load, desks))
        for desk in desks:
            desk.feed(todo, batch)
        while busy := {desk.pipe: desk for desk in desks if desk.given}:
            for pipe in wait(list(busy)):
                desk = busy[pipe]  # type: ignore[index]
                answer = desk.take()
                done(desk.given.popleft()[0], answer)
                if isinstance(answer, int):
                    todo.extendleft(reversed(desk.given))
                    desks.remove(desk)
                    desks.append(desk := _Desk(load, desks))
                if not desk.given:
                    desk.feed(todo, batch)
    finally:
        for desk in desks:
            # One with work before it is not waited for: its answers are wanted no more.
            desk.end(0.0 if desk.given else 1.0)


class _Desk:
    """One process and the jobs that it has before it."""

    def __init__(self, load: Load, beside: Sequence[_Desk]) -> None:
        method = "fork" if can_fork() else "spawn"
        context: SpawnContext = multiprocessing.get_context(method)  # type: ignore[assignment]
        self.pipe, other = context.Pipe()
        # A fork that held our ends of the pipes would never see that we have gone.
        ours = [self.pipe, *(desk.pipe for desk in beside)] if method == "fork" else []
        self.process: BaseProcess = context.Process(target=_serve, args=(load, other, ours), daemon=True)
        with _interrupts_held():
            self.process.start()
        other.close()
        self.given: deque[_Job] = deque()

    def feed(self, todo: deque[_Job], batch: int) -> None:
        """Give the next jobs, if there are any."""
        self.given = deque(todo.popleft() for _ in range(min(batch, len(todo))))
        if self.given:
            self.pipe.send_bytes(msgspec.msgpack.encode([job for _, job in self.given]))

    def take(self) -> bytes | int:
        """Return the answer to the first job given, or the exit code of a process that has died."""
        try:
            return self.pipe.recv_bytes()
        except (EOFError, OSError):
            self.end()
            return self.process.exitcode or 0

    def end(self, patience_s: float = 1.0) -> None:
        self.pipe.close()
        self.process.join(patience_s)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let Ctrl-C wait: one that came in a hook of the fork would be dropped. The forks are ended by us."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(load: Load, pipe: Connection, ours: Sequence[Connection]) -> None:
    """Do what is asked for until the other end goes."""
    for end in ours:
        end.close()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    # What was there before the fork is no garbage, and stays in memory that is shared.
    gc.freeze()
    gc.enable()
    work = load()
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            for job in msgspec.msgpack.decode(pipe.recv_bytes(), type=list[bytes]):
                pipe.send_bytes(work(job))


def _end_with(sentinel: int) -> None:
    """End at once when the process at the other end has gone, in the middle of a job too."""
    wait([sentinel])
    os._exit(1)
