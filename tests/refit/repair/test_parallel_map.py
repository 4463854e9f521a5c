"""Parallel map: results in input order, also after a worker has died."""

from __future__ import annotations

import os
import signal

import pytest

from argosy.refit.repair.parallel_map import parallel_map


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_parallel_map_keeps_item_order(processes: int, count: int) -> None:
    counts: list[int] = []
    assert parallel_map(lambda item: item * 2, range(count), counts.append, processes=processes) == [
        item * 2 for item in range(count)
    ]
    assert counts == list(range(1, count + 1))


def test_parallel_map_redoes_items_of_dead_worker() -> None:
    own = os.getpid()

    def work(item: int) -> int:
        if item == 3 and os.getpid() != own:
            os.kill(os.getpid(), signal.SIGKILL)
        return item + 1

    assert parallel_map(work, range(9), lambda done: None, processes=2) == list(range(1, 10))


def test_parallel_map_raises_error_of_worker() -> None:
    def work(item: int) -> int:
        return 1 // (item - 2)

    with pytest.raises(ZeroDivisionError):
        parallel_map(work, range(5), lambda done: None, processes=2)
