"""Schedule: when agents can be ready, the cost of a need, and the chain that makes one redundant."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.fleet.dependency_graph import Graph, UnknownAgentError, graph_from_edges
from argosy.fleet.schedule import compute_edge_costs, compute_ready_times, find_implying_chain


@st.composite
def timed_graphs(draw: st.DrawFn) -> tuple[Graph, dict[str, float]]:
    """A graph without cycles, and a whole number of seconds for each agent, so that sums are exact."""
    names = [f"a{index}" for index in range(draw(st.integers(1, 9)))]
    needs = {
        name: draw(st.lists(st.sampled_from(names[:index]), unique=True)) if index else []
        for index, name in enumerate(names)
    }
    takes = {name: float(draw(st.integers(0, 5))) for name in names}
    return graph_from_edges(needs), takes


@given(timed_graphs())
def test_edge_cost_is_time_gained_without_need(given_: tuple[Graph, dict[str, float]]) -> None:
    graph, takes = given_
    before = compute_ready_times(graph, takes)
    costs = compute_edge_costs(graph, takes)
    assert {(cost.agent, cost.need) for cost in costs} == set(graph.edges())
    for cost in costs:
        after = compute_ready_times(graph.with_edges_as_wants([(cost.agent, cost.need)]), takes)
        assert cost.agent_s == before[cost.agent] - after[cost.agent]
        assert cost.fleet_s == max(before.values()) - max(after.values())


@given(timed_graphs())
def test_agent_is_ready_after_its_last_need(given_: tuple[Graph, dict[str, float]]) -> None:
    graph, takes = given_
    ready = compute_ready_times(graph, takes)
    for name in graph.agents:
        last = max((ready[need] for need in graph.needs[name]), default=0.0)
        assert ready[name] == last + takes[name]


@given(timed_graphs())
def test_only_redundant_need_has_implying_chain(given_: tuple[Graph, dict[str, float]]) -> None:
    graph, _ = given_
    redundant = set(graph.redundant())
    for agent, need in graph.edges():
        proof = find_implying_chain(graph, agent, need)
        assert bool(proof) == ((agent, need) in redundant)
        if proof:
            assert (proof[0], proof[-1]) == (agent, need)
            assert len(proof) > 2
            assert all(second in graph.needs[first] for first, second in pairwise(proof))


def test_unknown_agent_raises_error_with_its_name() -> None:
    graph = graph_from_edges({"A": [], "B": ["A"]})
    with pytest.raises(UnknownAgentError, match="`B`"):
        compute_ready_times(graph, {"A": 1.0})
    with pytest.raises(UnknownAgentError, match="`C`"):
        find_implying_chain(graph, "C", "A")
