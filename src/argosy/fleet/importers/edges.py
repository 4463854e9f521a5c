"""Turns the dependencies that sources spell out into edges between agents of the fleet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from argosy.fleet.importers.cut import Cut, plan_cuts
from argosy.fleet.importers.found import Decision, FoundEdge
from argosy.fleet.importers.joining import Placed
from argosy.fleet.spelling import suggestion

_MOST_NAMED = 5


class Edges(msgspec.Struct, frozen=True):
    """What each agent needs and wants, without a cycle of needs.

    count: dependencies as found, each once, those that were cut or left out among them.
    """

    needs: Mapping[str, tuple[str, ...]]
    wants: Mapping[str, tuple[str, ...]]
    count: int
    decisions: tuple[Decision, ...]


def settle_edges(agents: Sequence[Placed], services: AbstractSet[str]) -> Edges:
    """Return the edges between `agents`; one to a service, to nothing or to the agent itself is left out.

    services: what sources call the things that agents talk to and nothing here starts.
    """
    resolver = _Resolver(agents, services)
    for agent in agents:
        resolver.take(agent)
    needs = {
        name: tuple(to for to, edge in ends.items() if edge.kind == "need")
        for name, ends in resolver.ends.items()
    }
    cuts = plan_cuts(needs)
    cut = {(one.of, one.to) for one in cuts}
    ends = resolver.ends
    return Edges(
        needs={name: tuple(to for to in needs[name] if (name, to) not in cut) for name in needs},
        wants={
            name: tuple(to for to, edge in ends[name].items() if edge.kind == "want" or (name, to) in cut)
            for name in needs
        },
        count=resolver.count,
        decisions=(
            *resolver.decisions,
            *resolver.tell_services(),
            *(_tell_cut(one, ends[one.of][one.to].where) for one in cuts),
        ),
    )


class _Resolver:
    """Looks up what dependencies name, and keeps what was left out and why.

    ends: for each agent, the agents that its dependencies lead to.
    """

    def __init__(self, agents: Sequence[Placed], services: AbstractSet[str]) -> None:
        self.ends: dict[str, dict[str, FoundEdge]] = {}
        self.count = 0
        self.decisions: list[Decision] = []
        self._services = services
        self._users: dict[str, list[tuple[str, str]]] = {}
        self._by_name: dict[str, list[Placed]] = {}
        for agent in agents:
            self._by_name.setdefault(agent.found.name, []).append(agent)

    def take(self, agent: Placed) -> None:
        """Resolve the dependencies of one agent."""
        ends = self.ends.setdefault(agent.name, {})
        seen: set[str] = set()
        for edge in agent.found.edges:
            self.count += edge.to not in seen
            seen.add(edge.to)
            target = self._target(agent, edge)
            if target is None:
                continue
            known = ends.setdefault(target, edge)
            if known is not edge:
                what = f"`{agent.name}` names `{edge.to}` twice"
                self._decide(edge, what, f"once is enough; the first is in {known.where}", agent)
                if edge.kind == "need":
                    ends[target] = edge

    def tell_services(self) -> Iterator[Decision]:
        """Yield one decision for each service that agents depend on."""
        for service, users in self._users.items():
            names = ", ".join(f"`{name}`" for name, _ in users[:_MOST_NAMED])
            more = f" and {len(users) - _MOST_NAMED} more" if len(users) > _MOST_NAMED else ""
            what = f"`{service}` is left out of the needs of {names}{more}"
            yield Decision(
                users[0][1], what, "it is no agent: nothing here starts it; its address is in `environments`"
            )

    def _target(self, agent: Placed, edge: FoundEdge) -> str | None:
        alike = self._by_name.get(edge.to, [])
        here = [other for other in alike if other.machine == agent.machine]
        found = here[0] if here else alike[0] if len(alike) == 1 else None
        if found is agent:
            self._decide(
                edge, f"`{agent.name}` names itself, which is left out", "nothing waits for itself", agent
            )
        elif found is not None:
            return found.name
        elif edge.to in self._services:
            self._users.setdefault(edge.to, []).append((agent.name, edge.where))
        elif alike:
            what = f"`{edge.to}` is left out of what `{agent.name}` needs"
            self._decide(edge, what, f"{len(alike)} agents elsewhere are called so: write which", agent)
        else:
            what = f"`{edge.to}` is left out of what `{agent.name}` needs: no agent is called so"
            self._decide(edge, what, suggestion(edge.to, self._by_name, "agents"), agent)
        return None

    def _decide(self, edge: FoundEdge, what: str, why: str, agent: Placed) -> None:
        self.decisions.append(Decision(edge.where, what, why, agent.name))


def _tell_cut(cut: Cut, where: str) -> Decision:
    way = " -> ".join((*cut.cycle, cut.of))
    others = "; ".join(f"cutting {of} -> {to} would leave {levels}" for of, to, levels in cut.others)
    return Decision(
        where,
        f"`{cut.of}` waits for itself through a cycle of {len(cut.cycle)} agents ({way}); "
        f"it wants `{cut.to}` and no longer needs it",
        f"of the edges of the cycle this cut leaves the quickest start: {cut.levels} levels; {others}",
        cut.of,
    )
