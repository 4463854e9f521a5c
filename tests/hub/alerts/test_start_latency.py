"""Slow starts: told against the agent's own past, by what outliers do not move, and never without a past."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from argosy.hub.alerts.start_latency import MIN_EXCESS_S, MIN_STARTS, StartLatencyTracker, make_baseline


def after(*took_s: float, kind: str = "") -> StartLatencyTracker:
    """Return the pace of an agent with these starts, a minute apart; `kind` is apply for those in a crowd."""
    made = StartLatencyTracker()
    for number, seconds in enumerate(took_s):
        start(made, 60.0 * number, seconds, kind)
    return made


def start(made: StartLatencyTracker, at_s: float, seconds: float, kind: str = "") -> None:
    if kind:
        made.on_event(kind, "", "", at_s)
    made.on_event("spawn-requested", "A", "", at_s)
    made.on_event("state", "A", "starting", at_s)
    made.on_event("state", "A", "ready", at_s + seconds)
    if kind:
        made.on_event("account", "", "", at_s + seconds)


def test_without_a_past_nothing_is_slow() -> None:
    made = after(*[1.0] * (MIN_STARTS - 1))
    start(made, 1000, 500.0)
    assert made.slow_starts(2000) == {}


def test_a_start_is_slow_while_it_goes_on_and_until_it_is_forgotten() -> None:
    made = after(2.0, 2.1, 1.9, 2.0, 2.2)
    made.on_event("spawn-requested", "A", "", 1000)
    assert made.slow_starts(1002.9) == {}
    assert not made.slow_starts(1004)["A"].is_finished
    made.on_event("state", "A", "ready", 1009)
    (slow,) = made.slow_starts(1010).values()
    assert (slow.is_finished, slow.took_s) == (True, 9.0)
    made.discard("A")
    assert made.slow_starts(1011) == {}


def test_one_outlier_of_the_past_moves_nothing() -> None:
    assert make_baseline([2.0, 2.1, 1.9, 2.0, 60.0]) == make_baseline([2.0, 2.1, 1.9, 2.0, 2.1])


def test_one_that_always_differs_may_go_on_differing() -> None:
    made = after(2.0, 9.0, 4.0, 14.0, 6.0, 11.0)
    start(made, 1000, 20.0)
    assert made.slow_starts(1100) == {}


def test_a_start_of_the_whole_fleet_is_not_measured_by_starts_alone() -> None:
    made = after(*[1.0] * 8)
    start(made, 1000, 20.0, "apply")
    assert made.slow_starts(1100) == {}
    made = after(*[5.0] * 8, kind="apply")
    start(made, 1000, 20.0, "apply")
    assert list(made.slow_starts(1100)) == ["A"]


def test_a_start_that_fails_or_is_given_up_is_no_slow_start() -> None:
    made = after(*[1.0] * 8)
    made.on_event("spawn-requested", "A", "", 1000)
    made.on_event("state", "A", "restart-pending", 1100)
    assert made.slow_starts(1200) == {}
    made.on_event("spawn-requested", "A", "", 1300)
    made.on_event("supervisor", "", "", 1301)  # perhaps another boot
    assert made.slow_starts(9000) == {}


@given(st.lists(st.floats(0.001, 1000), min_size=MIN_STARTS, max_size=30), st.integers(0, 1000))
def test_the_bound_lies_above_most_of_the_past_and_needs_no_order(past: list[float], seed: int) -> None:
    found = make_baseline(past)
    assert found is not None
    assert found.bound_s >= found.median_s + MIN_EXCESS_S
    assert sum(each <= found.bound_s for each in past) > len(past) / 2
    shuffled = random.Random(seed).sample(past, len(past))
    assert make_baseline(shuffled) == found
