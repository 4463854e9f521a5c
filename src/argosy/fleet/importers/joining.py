"""Joins the rows that describe one agent, and gives every agent a name of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from argosy.fleet.importers.found import Decision, FoundAgent
from argosy.fleet.importers.names import fleet_name, unlike
from argosy.fleet.secret import without_secrets

# What two rows of one agent may say, with the word for it in a startup config.
_FACTS = {
    "run": "script or command",
    "args": "arguments",
    "env_file": "`env_file`",
    "cwd": "working folder",
    "python": "interpreter",
    "host": "host",
    "port": "port",
    "health_port": "health port",
    "required": "`required`",
    "restart": "restart",
    "alive_s": "time until it counts as started",
    "stop_timeout_s": "stop time-out",
    "memory": "memory",
    "cpus": "cpus",
}
_UNSAID: tuple[object, ...] = (None, (), {}, True)


class Placed(msgspec.Struct, frozen=True):
    """An agent on its machine, with the name that the fleet file gives it."""

    name: str
    machine: str
    found: FoundAgent


class Joined(msgspec.Struct, frozen=True):
    """All agents, each once, and the decisions that this took."""

    agents: tuple[Placed, ...]
    decisions: tuple[Decision, ...]


def join(found: Sequence[tuple[str, FoundAgent]]) -> Joined:
    """Return the agents of (machine, agent) pairs; rows of one name on one machine are one agent."""
    rows: dict[tuple[str, str], list[FoundAgent]] = {}
    for machine, agent in found:
        rows.setdefault((machine, agent.name), []).append(agent)
    decisions: list[Decision] = []
    taken: dict[str, Placed] = {}
    for (machine, _), (first, *others) in rows.items():
        name = _name(first, machine, taken)
        decisions += _tell_name(name, first, taken)
        for other in others:
            decisions += _tell_merge(name, first, other)
            first = _merge(first, other)
        taken[name] = Placed(name, machine, first)
    return Joined(tuple(taken.values()), tuple(decisions))


def _merge(first: FoundAgent, other: FoundAgent) -> FoundAgent:
    """Return one agent of two rows: what the first says holds, the other adds what it leaves unsaid."""
    added = {key: getattr(other, key) for key in _FACTS if getattr(first, key) in _UNSAID}
    known = {edge.to for edge in first.edges}
    edges = (*first.edges, *(edge for edge in other.edges if edge.to not in known))
    return msgspec.structs.replace(first, **added, env={**other.env, **first.env}, edges=edges)


def _tell_merge(name: str, first: FoundAgent, other: FoundAgent) -> Iterator[Decision]:
    on = f" on port {first.port}" if first.port is not None and first.port == other.port else ""
    what = f"`{first.name}` stands in two rows{on}, here and in {first.where}; they are one agent"
    yield Decision(other.where, what, "one name on one machine; the dependencies of both are kept", name)
    for key, word in _FACTS.items():
        mine, theirs = getattr(first, key), getattr(other, key)
        if mine not in _UNSAID and theirs not in _UNSAID and mine != theirs:
            what = (
                f"the {word} of `{first.name}` is {_shown(mine)} in {first.where} and {_shown(theirs)} here"
            )
            yield Decision(other.where, what, f"the first row holds: {_shown(mine)}", name)


def _shown(value: object) -> str:
    text = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"`{without_secrets(text)}`"


def _name(agent: FoundAgent, machine: str, taken: Mapping[str, Placed]) -> str:
    name = fleet_name(agent.name)
    holder = taken.get(name)
    if holder is not None and holder.machine != machine:
        name = f"{name}-{machine}"
    return unlike(name, taken)


def _tell_name(name: str, agent: FoundAgent, taken: Mapping[str, Placed]) -> Iterator[Decision]:
    if name == agent.name:
        return
    holder = taken.get(fleet_name(agent.name))
    why = "a name has a letter first, then letters, digits, `_`, `-` and `.`"
    if holder is not None:
        why = f"`{holder.name}` is taken ({holder.found.where}), and a fleet has each name once"
    yield Decision(agent.where, f"`{agent.name}` is called `{name}`", why, name)
