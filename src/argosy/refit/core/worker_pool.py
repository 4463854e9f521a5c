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

JobFunction = Callable[[bytes], bytes]
# Called in each process; what it returns need not be sent there.
WorkerSetup = Callable[[], JobFunction]
OnResult = Callable[[int, "bytes | int"], None]
_Job = tuple[int, bytes]


def can_fork() -> bool:
    """Return whether processes here begin with all that this one has."""
    return "fork" in multiprocessing.get_all_start_methods()


def map_in_processes(
    jobs: Sequence[bytes], processes: int, setup: WorkerSetup, on_result: OnResult, batch_size: int
) -> None:
    """Have jobs done in several processes, and hand the answer to each to `done` as it comes.

    load: returns what does a job; where processes are not forked, a function of a module or a partial of one.
    done: is called with the number of a job and its answer, or the exit code of a process that died with it;
    such a one is replaced. batch: how many jobs a process is given at once.
    """
    pending = deque(enumerate(jobs))
    workers: list[_Worker] = []
    try:
        for _ in range(min(processes, max(len(jobs) // batch_size, 1))):
            workers.append(_Worker(setup, workers))
        for worker in workers:
            worker.assign(pending, batch_size)
        while busy := {desk.pipe: desk for desk in workers if desk.assigned}:
            for pipe in wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]
                answer = worker.receive()
                on_result(worker.assigned.popleft()[0], answer)
                if isinstance(answer, int):
                    pending.extendleft(reversed(worker.assigned))
                    workers.remove(worker)
                    workers.append(worker := _Worker(setup, workers))
                if not worker.assigned:
                    worker.assign(pending, batch_size)
    finally:
        for worker in workers:
            # One with work before it is not waited for: its answers are wanted no more.
            worker.stop(0.0 if worker.assigned else 1.0)


class _Worker:
    """One process and the jobs that it has before it."""

    def __init__(self, setup: WorkerSetup, siblings: Sequence[_Worker]) -> None:
        method = "fork" if can_fork() else "spawn"
        context: SpawnContext = multiprocessing.get_context(method)  # type: ignore[assignment]
        self.pipe, worker_end = context.Pipe()
        # A fork that held our ends of the pipes would never see that we have gone.
        inherited_pipes = [self.pipe, *(desk.pipe for desk in siblings)] if method == "fork" else []
        self.process: BaseProcess = context.Process(
            target=_worker_main, args=(setup, worker_end, inherited_pipes), daemon=True
        )
        with _interrupts_blocked():
            self.process.start()
        worker_end.close()
        self.assigned: deque[_Job] = deque()

    def assign(self, pending: deque[_Job], batch_size: int) -> None:
        """Give the next jobs, if there are any."""
        self.assigned = deque(pending.popleft() for _ in range(min(batch_size, len(pending))))
        if self.assigned:
            self.pipe.send_bytes(msgspec.msgpack.encode([job for _, job in self.assigned]))

    def receive(self) -> bytes | int:
        """Return the answer to the first job given, or the exit code of a process that has died."""
        try:
            return self.pipe.recv_bytes()
        except (EOFError, OSError):
            self.stop()
            return self.process.exitcode or 0

    def stop(self, timeout_s: float = 1.0) -> None:
        self.pipe.close()
        self.process.join(timeout_s)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Let Ctrl-C wait: one that came in a hook of the fork would be dropped. The forks are ended by us."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _worker_main(setup: WorkerSetup, pipe: Connection, inherited_pipes: Sequence[Connection]) -> None:
    """Do what is asked for until the other end goes."""
    for inherited_pipe in inherited_pipes:
        inherited_pipe.close()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_with_parent, args=(parent.sentinel,), daemon=True).start()
    # What was there before the fork is no garbage, and stays in memory that is shared.
    gc.freeze()
    gc.enable()
    run_job = setup()
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            for job in msgspec.msgpack.decode(pipe.recv_bytes(), type=list[bytes]):
                pipe.send_bytes(run_job(job))


def _exit_with_parent(sentinel: int) -> None:
    """End at once when the process at the other end has gone, in the middle of a job too."""
    wait([sentinel])
    os._exit(1)
