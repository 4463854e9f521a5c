"""The same work on many items, spread over the machine's processors.

Each worker is forked when the work is known, so it has all that the work needs and is sent nothing; it takes
every n-th item and sends what came of it. What a worker that died had before it is done here.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Final, TypeVar

from argosy.source.collector import collector_paused

Item = TypeVar("Item")
Result = TypeVar("Result")

FEWEST: Final = 24  # fewer are done before a worker would have started


def spread(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    told: Callable[[int], object],
    *,
    processes: int | None = None,
) -> list[Result]:
    """Return what `work` makes of each item, in their order.

    work: a function of nothing but its item; what it returns can be pickled. told: called with how many
    are done. processes: how many; default is one for each processor, and none beside this one for a few
    items or where processes cannot be forked.
    """
    count = processes or _processors(len(items))
    found: dict[int, Result] = {}
    if count > 1:
        _collect(work, items, count, found, told)
    with collector_paused():
        for at, item in enumerate(items):
            if at not in found:
                found[at] = work(item)
                told(len(found))
    return [found[at] for at in range(len(items))]


def _processors(items: int) -> int:
    can_fork = "fork" in multiprocessing.get_all_start_methods()
    return (os.cpu_count() or 1) if can_fork and items >= FEWEST else 1


def _collect(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    count: int,
    found: dict[int, Result],
    told: Callable[[int], object],
) -> None:
    """Take in what the workers send, until each has ended."""
    workers: dict[Connection, BaseProcess] = {}
    try:
        for first in range(count):
            ours, theirs = multiprocessing.Pipe(duplex=False)
            worker: Any = multiprocessing.get_context("fork").Process(
                target=_serve, args=(work, items, first, count, theirs, [ours, *workers]), daemon=True
            )
            worker.start()
            theirs.close()
            workers[ours] = worker
        open_ends = set(workers)
        while open_ends:
            for end in wait(list(open_ends)):
                assert isinstance(end, Connection)
                try:
                    at, result = end.recv()
                except EOFError:
                    open_ends.discard(end)
                    continue
                found[at] = result
                told(len(found))
    finally:
        for end, worker in workers.items():
            end.close()
            worker.kill()
            worker.join()


def _serve(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    first: int,
    step: int,
    pipe: Connection,
    ours: Sequence[Connection],
) -> None:
    """Do every `step`-th item from `first` on, and send what came of it."""
    for end in ours:
        end.close()
    gc.freeze()  # what was there before the fork is no garbage, and stays in memory that is shared
    try:
        with collector_paused():
            for at in range(first, len(items), step):
                pipe.send((at, work(items[at])))
    except (Exception, KeyboardInterrupt):
        sys.exit(1)  # an error of the work is raised in the parent, which does the rest
