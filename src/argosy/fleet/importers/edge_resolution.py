"""Resolves the dependencies named in sources to edges between agents, and cuts cycles of needs.

`Graph.best_cut` chooses the edge to cut, as it does for the hint of `argosy check`: the edge that leaves
the fewest cycles, then the fewest levels, which gives the quickest start.

Rejected: cutting the edge that closes the cycle in file order. It depends on the order of the file,
and on the measured fleet it would have lengthened the longest chain by two agents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from argosy.fleet.dependency_graph import Graph, graph_from_edges
from argosy.fleet.importers.deduplication import PlacedAgent
from argosy.fleet.importers.import_model import ImportDecision, ImportedEdge
from argosy.fleet.quantities import format_names
from argosy.fleet.suggestions import suggest

_MAX_NAMED = 5


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


class ResolvedEdges(msgspec.Struct, frozen=True):
    """The needs and wants of each agent, without cycles of needs.

    found_count: the number of distinct dependencies found, including those cut or omitted.
    """

    needs: Mapping[str, tuple[str, ...]]
    wants: Mapping[str, tuple[str, ...]]
    found_count: int
    decisions: tuple[ImportDecision, ...]


def resolve_edges(agents: Sequence[PlacedAgent], services: AbstractSet[str]) -> ResolvedEdges:
    """Return the edges between `agents`; those to services, unknown names or the agent itself are omitted.

    services: the names of external services in the sources.
    """
    resolver = _EdgeResolver(agents, services)
    for agent in agents:
        resolver.resolve(agent)
    needs = {
        name: tuple(to for to, edge in ends.items() if edge.kind == "need")
        for name, ends in resolver.targets.items()
    }
    cuts = plan_cuts(needs)
    cut = {(one.agent, one.need) for one in cuts}
    targets = resolver.targets
    return ResolvedEdges(
        needs={name: tuple(to for to in needs[name] if (name, to) not in cut) for name in needs},
        wants={
            name: tuple(to for to, edge in targets[name].items() if edge.kind == "want" or (name, to) in cut)
            for name in needs
        },
        found_count=resolver.found_count,
        decisions=(
            *resolver.decisions,
            *resolver.service_decisions(),
            *(_cut_decision(one, targets[one.agent][one.need].where) for one in cuts),
        ),
    )


class _EdgeResolver:
    """Resolves dependencies by name, and records omitted ones with the reason.

    targets: for each agent, the agents that its dependencies resolve to.
    """

    def __init__(self, agents: Sequence[PlacedAgent], services: AbstractSet[str]) -> None:
        self.targets: dict[str, dict[str, ImportedEdge]] = {}
        self.found_count = 0
        self.decisions: list[ImportDecision] = []
        self._services = services
        self._users: dict[str, list[tuple[str, str]]] = {}
        self._by_name: dict[str, list[PlacedAgent]] = {}
        for agent in agents:
            self._by_name.setdefault(agent.imported.name, []).append(agent)

    def resolve(self, agent: PlacedAgent) -> None:
        """Resolve the dependencies of one agent."""
        targets = self.targets.setdefault(agent.name, {})
        seen: set[str] = set()
        for edge in agent.imported.edges:
            self.found_count += edge.target not in seen
            seen.add(edge.target)
            target = self._find_target(agent, edge)
            if target is None:
                continue
            known = targets.setdefault(target, edge)
            if known is not edge:
                what = f"`{agent.name}` names `{edge.target}` twice"
                self._add_decision(edge, what, f"the first is in {known.where}", agent)
                if edge.kind == "need":
                    targets[target] = edge

    def service_decisions(self) -> Iterator[ImportDecision]:
        """Yield one decision for each service that agents depend on."""
        for service, users in self._users.items():
            names = format_names((name for name, _ in users), _MAX_NAMED)
            what = f"`{service}` is omitted from the needs of {names}"
            why = "it is not an agent and is not started here; its address is in `environments`"
            yield ImportDecision(users[0][1], what, why)

    def _find_target(self, agent: PlacedAgent, edge: ImportedEdge) -> str | None:
        namesakes = self._by_name.get(edge.target, [])
        same_machine = [other for other in namesakes if other.machine == agent.machine]
        found = same_machine[0] if same_machine else namesakes[0] if len(namesakes) == 1 else None
        if found is agent:
            what = f"`{agent.name}` names itself, which is omitted"
            self._add_decision(edge, what, "an agent cannot wait for itself", agent)
        elif found is not None:
            return found.name
        elif edge.target in self._services:
            self._users.setdefault(edge.target, []).append((agent.name, edge.where))
        elif namesakes:
            what = f"`{edge.target}` is omitted from the needs of `{agent.name}`"
            why = f"{len(namesakes)} agents on other machines have this name: choose one"
            self._add_decision(edge, what, why, agent)
        else:
            what = f"`{edge.target}` is omitted from the needs of `{agent.name}`: no agent has this name"
            self._add_decision(edge, what, suggest(edge.target, self._by_name, "agents"), agent)
        return None

    def _add_decision(self, edge: ImportedEdge, what: str, why: str, agent: PlacedAgent) -> None:
        self.decisions.append(ImportDecision(edge.where, what, why, agent.name))


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


def _cut_decision(cut: CycleCut, where: str) -> ImportDecision:
    path = " -> ".join((*cut.cycle, cut.agent))
    others = "; ".join(f"cutting {of} -> {to} would leave {levels}" for of, to, levels in cut.others)
    return ImportDecision(
        where,
        f"`{cut.agent}` waits for itself through a cycle of {len(cut.cycle)} agents ({path}); "
        f"its need `{cut.need}` becomes a want",
        f"of all edges of the cycle this cut gives the quickest start: {cut.levels} levels; {others}",
        cut.agent,
    )
