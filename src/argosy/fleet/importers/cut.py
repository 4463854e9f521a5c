"""Turns needs into wants until no agent waits for itself, and says why it was that edge.

Which edge goes is `Graph.cut`'s rule, the one that `argosy check` proposes by: the edge that leaves
the fewest cycles, then the fewest levels, that is the quickest start.

Rejected: cutting the edge that closes the cycle in file order. It depends on how the file happens to
be sorted, and on the measured fleet it would have lengthened the longest chain by two agents.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from argosy.fleet.graph import Graph, graph_of


class Cut(msgspec.Struct, frozen=True):
    """One edge turned from a need into a want.

    cycle: the shortest way round that it breaks, begun at `of`; each needs the next.
    levels: how many agents stand one after the other in the longest chain after the cut.
    others: the other edges of the cycle, each with the levels that its cut would leave.
    """

    of: str
    to: str
    cycle: tuple[str, ...]
    levels: int
    others: tuple[tuple[str, str, int], ...]


def plan_cuts(needs: Mapping[str, tuple[str, ...]]) -> tuple[Cut, ...]:
    """Return the cuts after which `needs` has no cycle, in the order they are made, shortest cycle first.

    needs: for each agent, in file order, the agents it needs; none needs itself.
    """
    graph = graph_of(needs)
    cuts: list[Cut] = []
    while cycles := graph.cycles():
        cuts.append(_cut(graph, cycles[0]))
        graph = graph.without([(cuts[-1].of, cuts[-1].to)])
    return tuple(cuts)


def _cut(graph: Graph, cycle: tuple[str, ...]) -> Cut:
    of, to = graph.cut(cycle)
    at = cycle.index(of)
    way = cycle[at:] + cycle[:at]
    edges = zip(way[1:], (*way[2:], of), strict=True)
    others = tuple((one, other, _levels(graph, one, other)) for one, other in edges)
    return Cut(of, to, way, _levels(graph, of, to), others)


def _levels(graph: Graph, of: str, to: str) -> int:
    return len(graph.without([(of, to)]).levels())
