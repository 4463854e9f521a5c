"""Resolves port conflicts between agents of one machine, and reports those with other ports in a source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from argosy.fleet.importers.deduplication import PlacedAgent
from argosy.fleet.importers.import_model import ForeignPort, ImportDecision

_KEYS = ("port", "health_port")


def resolve_port_conflicts(
    agents: Sequence[PlacedAgent],
) -> tuple[tuple[PlacedAgent, ...], tuple[ImportDecision, ...]]:
    """Return the agents with each port of a machine assigned to the first agent that names it."""
    claims: dict[tuple[str, int], tuple[str, str]] = {}
    resolved: list[PlacedAgent] = []
    decisions: list[ImportDecision] = []
    for agent in agents:
        for key in _KEYS:
            port = getattr(agent.imported, key)
            holder = claims.setdefault((agent.machine, port), (agent.name, key)) if port is not None else None
            if holder is not None and holder[0] != agent.name:
                conflict = f"it is also the `{holder[1]}` of `{holder[0]}`"
                what = f"`{key}` {port} of `{agent.name}` is omitted: {conflict}"
                why = f"only one process on `{agent.machine}` can listen there; give one of them another port"
                decisions.append(ImportDecision(agent.imported.where, what, why, agent.name))
                agent = _without_port(agent, key)
        resolved.append(agent)
    return tuple(resolved), tuple(decisions)


def _without_port(agent: PlacedAgent, key: str) -> PlacedAgent:
    return msgspec.structs.replace(agent, imported=msgspec.structs.replace(agent.imported, **{key: None}))


def foreign_port_decisions(
    named: Sequence[ForeignPort], machine: str, agents: Sequence[PlacedAgent]
) -> Iterator[ImportDecision]:
    """Yield a decision for each other port in a source that is also the port of an agent."""
    declared = {
        getattr(agent.imported, key): (agent, key)
        for agent in reversed(agents)
        if agent.machine == machine
        for key in _KEYS
    }
    for one in named:
        agent, key = declared.get(one.port, (None, ""))
        if agent is not None:
            what = f"`{one.key}: {one.port}` is also the `{key}` of `{agent.name}` ({agent.imported.where})"
            why = (
                f"if something else listens there, the two conflict on `{machine}` and one needs another "
                "port; the agent keeps this one"
            )
            yield ImportDecision(one.where, what, why, agent.name)
