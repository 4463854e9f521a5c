"""Dependency graph against brute force: small graphs of every shape, and large ones for speed."""

from __future__ import annotations

import random
from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.fleet import build_graph, load_fleet
from argosy.fleet.dependency_graph import (
    CriticalStep,
    Graph,
    UnknownAgentError,
    critical_path,
    graph_from_edges,
    strongly_connected_components,
)

NAMES = "abcdef"


@st.composite
def graphs(draw: st.DrawFn, *, acyclic: bool = False) -> Graph:
    names = draw(st.permutations(NAMES))[: draw(st.integers(1, len(NAMES)))]
    pairs = [(a, b) for i, a in enumerate(names) for b in (names[:i] if acyclic else names)]
    edges = draw(st.sets(st.sampled_from(pairs))) if pairs else set()
    order = draw(st.permutations(names))
    return graph_from_edges({a: [b for b in order if (a, b) in edges] for a in order})


def reachable(graph: Graph, start: str, without: tuple[str, str] | None = None) -> set[str]:
    """What `start` needs, by at least one edge, with one edge left out."""
    seen: set[str] = set()
    todo = [start]
    while todo:
        name = todo.pop()
        for need in graph.needs[name]:
            if (name, need) != without and need not in seen:
                seen.add(need)
                todo.append(need)
    return seen


def simple_cycles(graph: Graph) -> set[tuple[str, ...]]:
    """Every cycle, rotated to begin with its first agent in file order."""
    found = set()
    for length in range(1, len(graph.agents) + 1):
        for way in permutations(graph.agents, length):
            closes = all(b in graph.needs[a] for a, b in zip(way, (*way[1:], way[0]), strict=True))
            if closes and graph.agents.index(way[0]) == min(map(graph.agents.index, way)):
                found.add(way)
    return found


@given(graphs())
def test_cycles_are_shortest_first_and_cover_every_cyclic_agent(graph: Graph) -> None:
    every = simple_cycles(graph)
    cycles = graph.cycles()
    assert set(cycles) <= every
    assert len(set(cycles)) == len(cycles)
    assert [len(way) for way in cycles] == sorted(len(way) for way in cycles)
    for name in graph.agents:
        through = [len(way) for way in every if name in way]
        reported = [len(way) for way in cycles if name in way]
        assert min(reported, default=0) == min(through, default=0)


@given(graphs())
def test_cycle_cuts_leave_no_cycle_and_keep_edges_as_wants(graph: Graph) -> None:
    cuts = graph.cycle_cuts()
    rest = graph.with_edges_as_wants(cuts)
    assert rest.cycles() == ()
    assert sorted([*rest.edges(), *cuts]) == sorted(graph.edges())
    assert all(b in rest.wants[a] for a, b in cuts)
    assert bool(cuts) == bool(graph.cycles())


@given(graphs())
def test_components_are_mutually_reachable_and_in_dependency_order(graph: Graph) -> None:
    found = strongly_connected_components(graph.needs)
    assert sorted(name for names in found for name in names) == sorted(graph.agents)
    reach = {name: reachable(graph, name) | {name} for name in graph.agents}
    for index, names in enumerate(found):
        for name in names:
            assert {other for other in graph.agents if other in reach[name] and name in reach[other]} == set(
                names
            )
            later = {other for after in found[index + 1 :] for other in after}
            assert not later & set(graph.needs[name])


@given(graphs())
def test_redundant_needs_are_implied_by_other_needs(graph: Graph) -> None:
    part = {
        name: index
        for index, names in enumerate(strongly_connected_components(graph.needs))
        for name in names
    }
    expected = [
        (a, b) for a, b in graph.edges() if part[a] != part[b] and b in reachable(graph, a, without=(a, b))
    ]
    assert list(graph.redundant()) == expected


@given(graphs(acyclic=True))
def test_removing_redundant_needs_keeps_reachability(graph: Graph) -> None:
    reduced = graph.with_edges_as_wants(graph.redundant())
    for name in graph.agents:
        assert reachable(reduced, name) == reachable(graph, name)


@given(graphs(acyclic=True))
def test_levels_follow_longest_chains_and_start_order_respects_needs(graph: Graph) -> None:
    level = {name: index for index, names in enumerate(graph.levels()) for name in names}
    for name in graph.agents:
        assert level[name] == max((level[need] + 1 for need in graph.needs[name]), default=0)
    order = graph.start_order()
    assert sorted(order) == sorted(graph.agents)
    assert all(order.index(b) < order.index(a) for a, b in graph.edges())
    assert graph.stop_order() == order[::-1]
    assert len(graph.longest_chain()) == len(graph.levels())


@given(graphs())
def test_agents_of_cycle_share_level(graph: Graph) -> None:
    level = {name: index for index, names in enumerate(graph.levels()) for name in names}
    assert set(level) == set(graph.agents)
    for a, b in graph.edges():
        assert level[a] > level[b] or (level[a] == level[b] and a in reachable(graph, b) | {b})


@given(graphs(), st.data())
def test_dependencies_and_dependents_are_transitive(graph: Graph, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(graph.agents), max_size=3))
    needed = set(names).union(*(reachable(graph, name) for name in names))
    assert graph.with_dependencies(names) == tuple(name for name in graph.agents if name in needed)
    hurt = {other for other in graph.agents if other in names or reachable(graph, other) & set(names)}
    assert graph.with_dependents(names) == tuple(name for name in graph.agents if name in hurt)
    assert set(graph.subgraph(needed).edges()) == {(a, b) for a, b in graph.edges() if a in needed}


@given(graphs(acyclic=True), st.data())
def test_critical_path_follows_latest_need_to_last_agent(graph: Graph, data: st.DataObject) -> None:
    took = {name: data.draw(st.floats(0.01, 10)) for name in graph.agents}
    ready: dict[str, float] = {}
    for name in graph.start_order():
        ready[name] = max((ready[need] for need in graph.needs[name]), default=0.0) + took[name]
    path = critical_path(graph, ready)
    assert path[-1].ready_s == max(ready.values())
    assert path[0].started_s == 0.0
    for before, step in pairwise(path):
        assert before.agent in graph.needs[step.agent]
        assert before.ready_s == step.started_s == max(ready[need] for need in graph.needs[step.agent])


def test_critical_path_of_known_graph() -> None:
    graph = graph_from_edges({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]})
    assert critical_path(graph, {"a": 1.0, "b": 2.5, "c": 2.0, "d": 3.0}) == (
        CriticalStep("a", 0.0, 1.0),
        CriticalStep("b", 1.0, 2.5),
        CriticalStep("d", 2.5, 3.0),
    )
    with pytest.raises(UnknownAgentError, match="`d`"):
        critical_path(graph, {"a": 1.0, "b": 2.5, "c": 2.0})


def test_best_cut_leaves_fewest_levels() -> None:
    # Cutting b -> c leaves three levels, each of the other cuts four.
    graph = graph_from_edges({"a": ["b", "x"], "b": ["c"], "c": ["a"], "x": [], "d": ["a"]})
    assert graph.best_cut(("a", "b", "c")) == ("b", "c")


def test_graph_drops_unknown_edges_and_rejects_unknown_queries() -> None:
    graph = graph_from_edges({"a": ["nobody", "b", "b"], "b": []}, {"b": ["a", "nobody"]})
    assert graph.needs == {"a": ("b",), "b": ()}
    assert graph.wants == {"a": (), "b": ("a",)}
    assert graph.dependents("b") == ("a",)
    for ask in (graph.dependents, lambda name: graph.with_dependencies([name])):
        with pytest.raises(UnknownAgentError):
            ask("nobody")


def test_graph_of_thousands_needs_no_recursion() -> None:
    size = 3000
    graph = graph_from_edges({f"n{i}": [f"n{i - 1}"] if i else [] for i in range(size)})
    assert len(graph.levels()) == size
    assert graph.cycles() == ()
    assert len(strongly_connected_components({f"n{i}": (f"n{(i + 1) % size}",) for i in range(size)})) == 1


def test_build_graph_reads_needs_and_wants_of_fleet() -> None:
    agents = "A: {run: a.py, needs: [{agent: B}], wants: [C]}, B: {run: b.py}, C: {run: c.py}"
    text = f"fleet: f\nagents: {{{agents}}}\n"
    graph = build_graph(load_fleet("/f.yaml", text))
    assert graph.agents == ("A", "B", "C")
    assert (graph.needs["A"], graph.wants["A"]) == (("B",), ("C",))


def cyclic_graph(size: int, chords: int) -> Graph:
    """A ring of so many agents, with so many needs across it."""
    chosen = random.Random(7)
    needs = {f"A{i}": [f"A{(i + 1) % size}"] for i in range(size)}
    for _ in range(chords):
        needs[f"A{chosen.randrange(size)}"].append(f"A{chosen.randrange(size)}")
    return graph_from_edges(needs)


@pytest.mark.parametrize(("size", "chords"), [(3000, 0), (600, 300), (3000, 3000)])
def test_large_cyclic_graphs_return_partial_cycles_in_time(size: int, chords: int) -> None:
    """The full answer grows with the third power of the size: it took minutes."""
    graph = cyclic_graph(size, chords)
    cycles = graph.cycles()
    assert cycles
    for way in cycles:
        assert all(b in graph.needs[a] for a, b in zip(way, (*way[1:], way[0]), strict=True))
    assert graph.best_cut(cycles[0])[1] in graph.needs[graph.best_cut(cycles[0])[0]]
    cuts = graph.cycle_cuts()
    assert graph.with_edges_as_wants(cuts).cycles() == ()
    assert set(cuts) <= set(graph.edges())
