"""The same work on many items, spread over the machine's processors.

Each process is forked when the work is known, so it has all that the work needs and is sent nothing but which
item is next. What a process died with is done here.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from argosy.refit.desks import Work, can_fork, work_through
from argosy.source.collector import collector_paused

Item = TypeVar("Item")
Result = TypeVar("Result")

FEWEST: Final = 24  # fewer are done before a process would have started
_BATCH: Final = 4


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

    def take(at: int, answer: bytes | int) -> None:
        if not isinstance(answer, int):
            found[at] = pickle.loads(answer)
            told(len(found))

    if count > 1:
        jobs = [b"%d" % at for at in range(len(items))]
        work_through(jobs, count, lambda: _worker(work, items), take, _BATCH)
    with collector_paused():
        for at, item in enumerate(items):
            if at not in found:
                found[at] = work(item)
                told(len(found))
    return [found[at] for at in range(len(items))]


def _processors(items: int) -> int:
    return (os.cpu_count() or 1) if can_fork() and items >= FEWEST else 1


def _worker(work: Callable[[Item], Result], items: Sequence[Item]) -> Work:
    def do(job: bytes) -> bytes:
        try:
            with collector_paused():
                return pickle.dumps(work(items[int(job)]))
        except Exception:
            sys.exit(1)  # an error of the work is raised in the parent, which does this item itself

    return do
