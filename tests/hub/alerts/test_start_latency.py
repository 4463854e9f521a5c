"""Slow starts: compared with the earlier starts of the agent, robust to outliers."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from argosy.hub.alerts.start_latency import MIN_EXCESS_S, MIN_STARTS, StartLatencyTracker, make_baseline


def tracker_after(*took_s: float, kind: str = "") -> StartLatencyTracker:
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
        made.on_event("apply-summary", "", "", at_s + seconds)


def test_tracker_reports_no_slow_start_without_enough_earlier_starts() -> None:
    made = tracker_after(*[1.0] * (MIN_STARTS - 1))
    start(made, 1000, 500.0)
    assert made.slow_starts(2000) == {}


def test_tracker_reports_slow_start_while_running_and_until_discarded() -> None:
    made = tracker_after(2.0, 2.1, 1.9, 2.0, 2.2)
    made.on_event("spawn-requested", "A", "", 1000)
    assert made.slow_starts(1002.9) == {}
    assert not made.slow_starts(1004)["A"].is_finished
    made.on_event("state", "A", "ready", 1009)
    (slow,) = made.slow_starts(1010).values()
    assert (slow.is_finished, slow.took_s) == (True, 9.0)
    made.discard("A")
    assert made.slow_starts(1011) == {}


def test_baseline_ignores_one_outlier() -> None:
    assert make_baseline([2.0, 2.1, 1.9, 2.0, 60.0]) == make_baseline([2.0, 2.1, 1.9, 2.0, 2.1])


def test_tracker_tolerates_slow_start_of_agent_with_varying_starts() -> None:
    made = tracker_after(2.0, 9.0, 4.0, 14.0, 6.0, 11.0)
    start(made, 1000, 20.0)
    assert made.slow_starts(1100) == {}


def test_tracker_compares_apply_starts_only_with_apply_starts() -> None:
    made = tracker_after(*[1.0] * 8)
    start(made, 1000, 20.0, "apply")
    assert made.slow_starts(1100) == {}
    made = tracker_after(*[5.0] * 8, kind="apply")
    start(made, 1000, 20.0, "apply")
    assert list(made.slow_starts(1100)) == ["A"]


def test_tracker_reports_no_slow_start_for_failed_or_aborted_start() -> None:
    made = tracker_after(*[1.0] * 8)
    made.on_event("spawn-requested", "A", "", 1000)
    made.on_event("state", "A", "restart-pending", 1100)
    assert made.slow_starts(1200) == {}
    made.on_event("spawn-requested", "A", "", 1300)
    made.on_event("supervisor", "", "", 1301)  # perhaps another boot
    assert made.slow_starts(9000) == {}


@given(st.lists(st.floats(0.001, 1000), min_size=MIN_STARTS, max_size=30), st.integers(0, 1000))
def test_baseline_bound_exceeds_most_starts_and_ignores_their_order(past: list[float], seed: int) -> None:
    found = make_baseline(past)
    assert found is not None
    assert found.bound_s >= found.median_s + MIN_EXCESS_S
    assert sum(each <= found.bound_s for each in past) > len(past) / 2
    shuffled = random.Random(seed).sample(past, len(past))
    assert make_baseline(shuffled) == found
