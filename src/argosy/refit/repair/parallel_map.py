"""Applies a function to many items in several processes.

The processes are forked after the work is known, so they inherit all data, and only receive the index of the
next item. Items whose process died are processed in this one.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from argosy.refit.core.worker_pool import JobFunction, can_fork, map_in_processes
from argosy.source.python_parser import pause_gc

Item = TypeVar("Item")
Result = TypeVar("Result")

MIN_PARALLEL_ITEMS: Final = 24  # fewer are done before a process has started
_BATCH_SIZE: Final = 4


def parallel_map(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    on_done: Callable[[int], object],
    *,
    processes: int | None = None,
) -> list[Result]:
    """Return the results of `work` for all items, in order.

    work: depends on its item only; its result must be picklable. on_done: called with the number of finished
    items. processes: default is one for each processor, and none besides this one for few items or without
    fork.
    """
    count = processes or _process_count(len(items))
    results: dict[int, Result] = {}

    def collect(at: int, result: bytes | int) -> None:
        if not isinstance(result, int):
            results[at] = pickle.loads(result)
            on_done(len(results))

    if count > 1:
        jobs = [b"%d" % at for at in range(len(items))]
        map_in_processes(jobs, count, lambda: _make_worker(work, items), collect, _BATCH_SIZE)
    with pause_gc():
        for at, item in enumerate(items):
            if at not in results:
                results[at] = work(item)
                on_done(len(results))
    return [results[at] for at in range(len(items))]


def _process_count(items: int) -> int:
    return (os.cpu_count() or 1) if can_fork() and items >= MIN_PARALLEL_ITEMS else 1


def _make_worker(work: Callable[[Item], Result], items: Sequence[Item]) -> JobFunction:
    def run_job(job: bytes) -> bytes:
        try:
            with pause_gc():
                return pickle.dumps(work(items[int(job)]))
        except Exception:
            sys.exit(1)  # an error of the work is raised in the parent, which does this item itself

    return run_job
