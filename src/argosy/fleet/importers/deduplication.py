"""Makes the agents of all sources distinct: one agent per name, a unique name, and a port of its own."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from argosy.fleet.importers.import_model import ForeignPort, ImportDecision, ImportedAgent
from argosy.fleet.redaction import redact_text

# The fields that two rows of one agent may both set, with their names for messages.
_FIELD_LABELS = {
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
    "start_grace_s": "time until it counts as started",
    "stop_timeout_s": "stop time-out",
    "memory": "memory",
    "cpus": "cpus",
}
_UNSET_VALUES: tuple[object, ...] = (None, (), {}, True)
_PORT_KEYS = ("port", "health_port")


class PlacedAgent(msgspec.Struct, frozen=True):
    """An agent on its machine, with its name in the fleet file."""

    name: str
    machine: str
    imported: ImportedAgent


def deduplicate(found: Sequence[tuple[str, ImportedAgent]]) -> tuple[list[PlacedAgent], list[ImportDecision]]:
    """Return the agents of (machine, agent) pairs; rows with one name on one machine are one agent."""
    rows: dict[tuple[str, str], list[ImportedAgent]] = {}
    for machine, agent in found:
        rows.setdefault((machine, agent.name), []).append(agent)
    decisions: list[ImportDecision] = []
    by_name: dict[str, PlacedAgent] = {}
    for (machine, _), (first, *others) in rows.items():
        name = _choose_name(first, machine, by_name)
        decisions += _rename_decisions(name, first, by_name)
        for other in others:
            decisions += _merge_decisions(name, first, other)
            first = _merge_rows(first, other)
        by_name[name] = PlacedAgent(name, machine, first)
    return list(by_name.values()), decisions


def _merge_rows(first: ImportedAgent, other: ImportedAgent) -> ImportedAgent:
    """Return one agent of two rows: the first takes precedence, the other fills in unset fields."""
    added = {key: getattr(other, key) for key in _FIELD_LABELS if getattr(first, key) in _UNSET_VALUES}
    known = {edge.target for edge in first.edges}
    edges = (*first.edges, *(edge for edge in other.edges if edge.target not in known))
    return msgspec.structs.replace(first, **added, env={**other.env, **first.env}, edges=edges)


def _merge_decisions(name: str, first: ImportedAgent, other: ImportedAgent) -> Iterator[ImportDecision]:
    on = f" on port {first.port}" if first.port is not None and first.port == other.port else ""
    what = f"`{first.name}` is in two rows{on}, here and in {first.where}; they are merged into one agent"
    yield ImportDecision(
        other.where, what, "one name on one machine; the dependencies of both are kept", name
    )
    for key, label in _FIELD_LABELS.items():
        mine, theirs = getattr(first, key), getattr(other, key)
        if mine not in _UNSET_VALUES and theirs not in _UNSET_VALUES and mine != theirs:
            kept, dropped = _quote_value(mine), _quote_value(theirs)
            what = f"the {label} of `{first.name}` is {kept} in {first.where} and {dropped} here"
            yield ImportDecision(other.where, what, f"the first row takes precedence: {kept}", name)


def _quote_value(value: object) -> str:
    text = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"`{redact_text(text)}`"


def _choose_name(agent: ImportedAgent, machine: str, used_names: Mapping[str, PlacedAgent]) -> str:
    name = to_fleet_name(agent.name)
    holder = used_names.get(name)
    if holder is not None and holder.machine != machine:
        name = f"{name}-{machine}"
    return make_unique(name, used_names)


def _rename_decisions(
    name: str, agent: ImportedAgent, agents_by_name: Mapping[str, PlacedAgent]
) -> Iterator[ImportDecision]:
    if name == agent.name:
        return
    holder = agents_by_name.get(to_fleet_name(agent.name))
    why = "a name has a letter first, then letters, digits, `_`, `-` and `.`"
    if holder is not None:
        why = f"`{holder.name}` is taken ({holder.imported.where}), and names in a fleet are unique"
    yield ImportDecision(agent.where, f"`{agent.name}` is called `{name}`", why, name)


def resolve_port_conflicts(
    agents: Sequence[PlacedAgent],
) -> tuple[list[PlacedAgent], list[ImportDecision]]:
    """Return the agents with each port of a machine assigned to the first agent that names it."""
    claims: dict[tuple[str, int], tuple[str, str]] = {}
    resolved: list[PlacedAgent] = []
    decisions: list[ImportDecision] = []
    for agent in agents:
        for key in _PORT_KEYS:
            port = getattr(agent.imported, key)
            holder = claims.setdefault((agent.machine, port), (agent.name, key)) if port is not None else None
            if holder is not None and holder[0] != agent.name:
                conflict = f"it is also the `{holder[1]}` of `{holder[0]}`"
                what = f"`{key}` {port} of `{agent.name}` is omitted: {conflict}"
                why = f"only one process on `{agent.machine}` can listen there; give one of them another port"
                decisions.append(ImportDecision(agent.imported.where, what, why, agent.name))
                imported = msgspec.structs.replace(agent.imported, **{key: None})
                agent = msgspec.structs.replace(agent, imported=imported)
        resolved.append(agent)
    return resolved, decisions


def foreign_port_decisions(
    named: Sequence[ForeignPort], machine: str, agents: Sequence[PlacedAgent]
) -> Iterator[ImportDecision]:
    """Yield a decision for each other port in a source that is also the port of an agent."""
    declared = {
        getattr(agent.imported, key): (agent, key)
        for agent in reversed(agents)
        if agent.machine == machine
        for key in _PORT_KEYS
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


def to_fleet_name(text: str) -> str:
    """Return `text` as a valid name: invalid characters become `_`, and a leading digit gets a `_` prefix."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", text.strip(), flags=re.ASCII)
    return name if re.match(r"[A-Za-z_]", name) else f"_{name}"


def make_unique(name: str, used_names: Collection[str]) -> str:
    """Return `name`, with the suffix `_2`, `_3` and so on if it is taken."""
    number, candidate = 2, name
    while candidate in used_names:
        candidate = f"{name}_{number}"
        number += 1
    return candidate


def to_variable_name(text: str) -> str:
    """Return `text` as the name of an environment variable."""
    return re.sub(r"\W", "_", text, flags=re.ASCII).upper()
