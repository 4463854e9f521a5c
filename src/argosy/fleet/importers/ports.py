"""Ports that two claim: between agents of one machine, and between an agent and a port named in passing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from argosy.fleet.importers.found import Decision, NamedPort
from argosy.fleet.importers.joining import Placed

_KEYS = ("port", "health_port")


def settle_ports(agents: Sequence[Placed]) -> tuple[tuple[Placed, ...], tuple[Decision, ...]]:
    """Return the agents with each port of a machine claimed once, by the first that names it."""
    claims: dict[tuple[str, int], tuple[str, str]] = {}
    settled: list[Placed] = []
    decisions: list[Decision] = []
    for agent in agents:
        for key in _KEYS:
            port = getattr(agent.found, key)
            holder = claims.setdefault((agent.machine, port), (agent.name, key)) if port is not None else None
            if holder is not None and holder[0] != agent.name:
                taken = f"it is the `{holder[1]}` of `{holder[0]}` too"
                what = f"`{key}` {port} of `{agent.name}` is left out: {taken}"
                why = f"only one process of `{agent.machine}` can listen there; give one of them another"
                decisions.append(Decision(agent.found.where, what, why, agent.name))
                agent = _without(agent, key)
        settled.append(agent)
    return tuple(settled), tuple(decisions)


def _without(agent: Placed, key: str) -> Placed:
    return msgspec.structs.replace(agent, found=msgspec.structs.replace(agent.found, **{key: None}))


def tell_named_ports(
    named: Sequence[NamedPort], machine: str, agents: Sequence[Placed]
) -> Iterator[Decision]:
    """Yield a decision for each port that a source names outside the agents and that an agent declares."""
    declared = {
        getattr(agent.found, key): (agent, key)
        for agent in reversed(agents)
        if agent.machine == machine
        for key in _KEYS
    }
    for one in named:
        agent, key = declared.get(one.port, (None, ""))
        if agent is not None:
            what = f"`{one.key}: {one.port}` is the `{key}` of `{agent.name}` too ({agent.found.where})"
            why = (
                f"if something else listens there, the two clash on `{machine}` and one needs another port; "
                "the agent keeps it"
            )
            yield Decision(one.where, what, why, agent.name)
