"""Work that is spread over processes: the same results in the same order, whatever becomes of a worker."""

from __future__ import annotations

import os
import signal

import pytest

from argosy.refit.repair.parallel_map import parallel_map


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_results_come_in_the_order_of_the_items(processes: int, count: int) -> None:
    counts: list[int] = []
    assert parallel_map(lambda item: item * 2, range(count), counts.append, processes=processes) == [
        item * 2 for item in range(count)
    ]
    assert counts == list(range(1, count + 1))


def test_what_a_worker_that_died_had_before_it_is_done_here() -> None:
    own = os.getpid()

    def work(item: int) -> int:
        if item == 3 and os.getpid() != own:
            os.kill(os.getpid(), signal.SIGKILL)
        return item + 1

    assert parallel_map(work, range(9), lambda done: None, processes=2) == list(range(1, 10))


def test_an_error_of_the_work_is_raised_here() -> None:
    def work(item: int) -> int:
        return 1 // (item - 2)

    with pytest.raises(ZeroDivisionError):
        parallel_map(work, range(5), lambda done: None, processes=2)
