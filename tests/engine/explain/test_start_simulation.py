"""A start played through: needs first, never more at once than there are slots."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.engine.explain.start_simulation import simulate_start
from argosy.engine.explain.timing_history import (
    DEFAULT_START_S,
    DurationEstimate,
    TimingHistory,
    estimate_starts,
)
from argosy.fleet.dependency_graph import UnknownAgentError, graph_from_edges
from argosy.fleet.schedule import compute_ready_times


@given(st.data(), st.integers(1, 4))
def test_needs_and_slots_are_kept_and_nobody_idles(data: st.DataObject, slots: int) -> None:
    names = [f"a{index}" for index in range(data.draw(st.integers(1, 9)))]
    needs = {
        name: data.draw(st.lists(st.sampled_from(names[:index]), unique=True)) if index else []
        for index, name in enumerate(names)
    }
    takes = {name: float(data.draw(st.integers(1, 5))) for name in names}
    graph = graph_from_edges(needs)
    played = simulate_start(graph, takes, slots)
    assert set(played) == set(names)
    for name, step in played.items():
        assert step.ready_s == step.started_s + takes[name]
        free_s = max((played[need].ready_s for need in needs[name]), default=0.0)
        assert step.started_s >= free_s
        under_way = [
            other for other, each in played.items() if each.started_s <= step.started_s < each.ready_s
        ]
        assert len(under_way) <= slots
        # One that waited longer than for its needs found every slot taken just before it began.
        if step.started_s > free_s:
            before = [o for o, each in played.items() if each.started_s < step.started_s <= each.ready_s]
            assert len(before) == slots
    unbounded = simulate_start(graph, takes, len(names))
    assert {name: step.ready_s for name, step in unbounded.items()} == compute_ready_times(graph, takes)


def test_the_longest_chain_goes_first() -> None:
    graph = graph_from_edges({"Lone": [], "A": [], "B": ["A"], "C": ["B"]})
    played = simulate_start(graph, dict.fromkeys(graph.agents, 1.0), 1)
    assert sorted(played, key=lambda name: played[name].started_s) == ["A", "B", "Lone", "C"]


def test_an_agent_without_a_time_is_told() -> None:
    with pytest.raises(UnknownAgentError):
        simulate_start(graph_from_edges({"A": []}), {}, 1)


def test_who_was_never_measured_is_taken_for_the_others() -> None:
    past = {"A": TimingHistory((1.0, 3.0)), "B": TimingHistory((8.0,)), "C": TimingHistory((), (1.0,))}
    assert estimate_starts(["A", "B", "C"], past) == {
        "A": DurationEstimate(2.0, 2),
        "B": DurationEstimate(8.0, 1),
        "C": DurationEstimate(5.0, 0),
    }
    assert estimate_starts(["D"], past) == {"D": DurationEstimate(DEFAULT_START_S, 0)}
