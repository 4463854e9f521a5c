"""Ports that two claim: between agents of one machine, and between an agent and a port named in passing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from argosy.fleet.importers.deduplication import PlacedAgent
from argosy.fleet.importers.import_model import ForeignPort, ImportDecision

_KEYS = ("port", "health_port")


def resolve_port_conflicts(
    agents: Sequence[PlacedAgent],
) -> tuple[tuple[PlacedAgent, ...], tuple[ImportDecision, ...]]:
    """Return the agents with each port of a machine claimed once, by the first that names it."""
    claims: dict[tuple[str, int], tuple[str, str]] = {}
    settled: list[PlacedAgent] = []
    decisions: list[ImportDecision] = []
    for agent in agents:
        for key in _KEYS:
            port = getattr(agent.imported, key)
            holder = claims.setdefault((agent.machine, port), (agent.name, key)) if port is not None else None
            if holder is not None and holder[0] != agent.name:
                taken = f"it is the `{holder[1]}` of `{holder[0]}` too"
                what = f"`{key}` {port} of `{agent.name}` is left out: {taken}"
                why = f"only one process of `{agent.machine}` can listen there; give one of them another"
                decisions.append(ImportDecision(agent.imported.where, what, why, agent.name))
                agent = _without_port(agent, key)
        settled.append(agent)
    return tuple(settled), tuple(decisions)


def _without_port(agent: PlacedAgent, key: str) -> PlacedAgent:
    return msgspec.structs.replace(agent, found=msgspec.structs.replace(agent.imported, **{key: None}))


def foreign_port_decisions(
    named: Sequence[ForeignPort], machine: str, agents: Sequence[PlacedAgent]
) -> Iterator[ImportDecision]:
    """Yield a decision for each port that a source names outside the agents and that an agent declares."""
    declared = {
        getattr(agent.imported, key): (agent, key)
        for agent in reversed(agents)
        if agent.machine == machine
        for key in _KEYS
    }
    for one in named:
        agent, key = declared.get(one.port, (None, ""))
        if agent is not None:
            what = f"`{one.key}: {one.port}` is the `{key}` of `{agent.name}` too ({agent.imported.where})"
            why = (
                f"if something else listens there, the two clash on `{machine}` and one needs another port; "
                "the agent keeps it"
            )
            yield ImportDecision(one.where, what, why, agent.name)
