"""Turns needs into wants until no cycle is left, and records the reason for each cut.

`Graph.best_cut` chooses the edge, as it does for the hint of `argosy check`: the edge that leaves the
fewest cycles, then the fewest levels, which gives the quickest start.

Rejected: cutting the edge that closes the cycle in file order. It depends on the order of the file,
and on the measured fleet it would have lengthened the longest chain by two agents.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from argosy.fleet.dependency_graph import Graph, graph_from_edges


class CycleCut(msgspec.Struct, frozen=True):
    """One edge turned from a need into a want.

    cycle: the cycle that it breaks, starting at `agent`; each agent needs the next.
    levels: the length of the longest chain after the cut, in agents.
    others: the other edges of the cycle, each with the levels after cutting it instead.
    """

    agent: str
    need: str
    cycle: tuple[str, ...]
    levels: int
    others: tuple[tuple[str, str, int], ...]


def plan_cuts(needs: Mapping[str, tuple[str, ...]]) -> tuple[CycleCut, ...]:
    """Return the cuts that remove all cycles from `needs`, in order, shortest cycle first.

    needs: for each agent, in file order, the agents it needs; none needs itself.
    """
    graph = graph_from_edges(needs)
    cuts: list[CycleCut] = []
    while cycles := graph.cycles():
        cuts.append(_make_cut(graph, cycles[0]))
        graph = graph.with_edges_as_wants([(cuts[-1].agent, cuts[-1].need)])
    return tuple(cuts)


def _make_cut(graph: Graph, cycle: tuple[str, ...]) -> CycleCut:
    agent, need = graph.best_cut(cycle)
    at = cycle.index(agent)
    path = cycle[at:] + cycle[:at]
    edges = zip(path[1:], (*path[2:], agent), strict=True)
    others = tuple((one, other, _levels_after_cut(graph, one, other)) for one, other in edges)
    return CycleCut(agent, need, path, _levels_after_cut(graph, agent, need), others)


def _levels_after_cut(graph: Graph, agent: str, need: str) -> int:
    return len(graph.with_edges_as_wants([(agent, need)]).levels())
