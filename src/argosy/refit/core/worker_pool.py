"""Runs jobs in worker processes, so that a file that crashes its process ends nothing else.

Each process has its own pipe, and this process starts no thread: the job that a process died with is known,
and an interrupt ends the work at once. Workers only read, so killing one loses nothing.
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
# Called in each process; its result need not be picklable.
WorkerSetup = Callable[[], JobFunction]
OnResult = Callable[[int, "bytes | int"], None]
_Job = tuple[int, bytes]


def can_fork() -> bool:
    """Return whether worker processes inherit the memory of this one."""
    return "fork" in multiprocessing.get_all_start_methods()


def map_in_processes(
    jobs: Sequence[bytes], processes: int, setup: WorkerSetup, on_result: OnResult, batch_size: int
) -> None:
    """Run jobs in several processes, and pass each answer to `on_result` as it arrives.

    setup: returns the function that runs a job; without fork it must be picklable, such as a module's
    function or a partial of one. on_result: called with the index of a job and its answer, or the exit code
    of a process that died with it; that process is replaced. batch_size: how many jobs a process gets at
    once.
    """
    pending = deque(enumerate(jobs))
    workers: list[_Worker] = []
    try:
        for _ in range(min(processes, max(len(jobs) // batch_size, 1))):
            workers.append(_Worker(setup, workers))
        for worker in workers:
            worker.assign(pending, batch_size)
        while busy := {item.pipe: item for item in workers if item.assigned}:
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
            # A worker with assigned jobs is not waited for: nobody needs its answers.
            worker.stop(0.0 if worker.assigned else 1.0)


class _Worker:
    """One process and its assigned jobs."""

    def __init__(self, setup: WorkerSetup, siblings: Sequence[_Worker]) -> None:
        method = "fork" if can_fork() else "spawn"
        context: SpawnContext = multiprocessing.get_context(method)  # type: ignore[assignment]
        self.pipe, worker_end = context.Pipe()
        # A fork that holds our pipe ends would not notice that this process has ended.
        inherited_pipes = [self.pipe, *(sibling.pipe for sibling in siblings)] if method == "fork" else []
        self.process: BaseProcess = context.Process(
            target=_worker_main, args=(setup, worker_end, inherited_pipes), daemon=True
        )
        with _interrupts_blocked():
            self.process.start()
        worker_end.close()
        self.assigned: deque[_Job] = deque()

    def assign(self, pending: deque[_Job], batch_size: int) -> None:
        """Assign the next jobs, if any are left."""
        self.assigned = deque(pending.popleft() for _ in range(min(batch_size, len(pending))))
        if self.assigned:
            self.pipe.send_bytes(msgspec.msgpack.encode([job for _, job in self.assigned]))

    def receive(self) -> bytes | int:
        """Return the answer to the first assigned job, or the exit code of the process if it has died."""
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
    """Block Ctrl-C: an interrupt during a fork hook would be lost. This process ends the forks."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _worker_main(setup: WorkerSetup, pipe: Connection, inherited_pipes: Sequence[Connection]) -> None:
    """Run jobs until the other end of the pipe closes."""
    for inherited_pipe in inherited_pipes:
        inherited_pipe.close()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_with_parent, args=(parent.sentinel,), daemon=True).start()
    # Objects from before the fork are not garbage, and stay in shared memory.
    gc.freeze()
    gc.enable()
    run_job = setup()
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            for job in msgspec.msgpack.decode(pipe.recv_bytes(), type=list[bytes]):
                pipe.send_bytes(run_job(job))


def _exit_with_parent(sentinel: int) -> None:
    """End this process when the parent ends, also in the middle of a job."""
    wait([sentinel])
    os._exit(1)
