"""Resolves the dependencies named in sources to edges between agents of the fleet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from argosy.fleet.importers.cycle_cuts import CycleCut, plan_cuts
from argosy.fleet.importers.deduplication import PlacedAgent
from argosy.fleet.importers.import_model import ImportDecision, ImportedEdge
from argosy.fleet.suggestions import suggest

_MAX_NAMED = 5


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
            names = ", ".join(f"`{name}`" for name, _ in users[:_MAX_NAMED])
            more = f" and {len(users) - _MAX_NAMED} more" if len(users) > _MAX_NAMED else ""
            what = f"`{service}` is omitted from the needs of {names}{more}"
            why = "it is not an agent and is not started here; its address is in `environments`"
            yield ImportDecision(users[0][1], what, why)

    def _find_target(self, agent: PlacedAgent, edge: ImportedEdge) -> str | None:
        namesakes = self._by_name.get(edge.target, [])
        same_machine = [other for other in namesakes if other.machine == agent.machine]
        found = same_machine[0] if same_machine else namesakes[0] if len(namesakes) == 1 else None
        if found is agent:
            self._add_decision(
                edge,
                f"`{agent.name}` names itself, which is omitted",
                "an agent cannot wait for itself",
                agent,
            )
        elif found is not None:
            return found.name
        elif edge.target in self._services:
            self._users.setdefault(edge.target, []).append((agent.name, edge.where))
        elif namesakes:
            what = f"`{edge.target}` is omitted from the needs of `{agent.name}`"
            self._add_decision(
                edge, what, f"{len(namesakes)} agents on other machines have this name: choose one", agent
            )
        else:
            what = f"`{edge.target}` is omitted from the needs of `{agent.name}`: no agent has this name"
            self._add_decision(edge, what, suggest(edge.target, self._by_name, "agents"), agent)
        return None

    def _add_decision(self, edge: ImportedEdge, what: str, why: str, agent: PlacedAgent) -> None:
        self.decisions.append(ImportDecision(edge.where, what, why, agent.name))


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
