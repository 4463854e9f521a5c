"""Validates relations in a fleet file: names, needs, cycles, ports, probes, cells, budgets.

Each check reports a conflict at the later of the two entries, the one to change.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from argosy.fleet.cell_checks import find_cell_conflicts, find_restart_loops
from argosy.fleet.dependency_graph import build_graph
from argosy.fleet.hosts import is_wildcard, parse_address
from argosy.fleet.hub_validation import check_hub_section
from argosy.fleet.locations import TextPosition
from argosy.fleet.normalization import PORT_PROBES
from argosy.fleet.quantities import format_size, parse_size_bytes
from argosy.fleet.suggestions import suggest
from argosy.fleet.validation_context import ValidationContext

if TYPE_CHECKING:
    from collections.abc import Iterator

    from argosy.fleet.fleet_spec import AgentSpec, Liveness, Probe


def validate_fleet(context: ValidationContext) -> None:
    """Add all faults of relations in the fleet."""
    for agent in context.fleet.agents.values():
        _check_run(context, agent)
        _check_machine(context, agent)
        _check_edges(context, agent)
        _check_ready(context, agent)
        _check_liveness(context, agent)
        _check_budget(context, agent)
    _check_cells(context)
    _check_ports(context)
    _check_cycles(context)
    _check_addresses(context)
    check_hub_section(context)


def _position_of_key(context: ValidationContext, agent: AgentSpec, key: str) -> TextPosition:
    """Return the position of an agent's key, which may be inherited from `defaults`."""
    path = f"agents.{agent.name}"
    return context.position_of(f"{path}.{key}", f"defaults.{key}", path)


def _has_invalid_key(context: ValidationContext, agent: AgentSpec, key: str) -> bool:
    return f"agents.{agent.name}.{key}" in context.invalid_paths or f"defaults.{key}" in context.invalid_paths


def _check_run(context: ValidationContext, agent: AgentSpec) -> None:
    if agent.run or _has_invalid_key(context, agent, "run"):
        return
    path = f"agents.{agent.name}"
    if f"{path}.run" in context.positions:
        message = f"`{path}.run` is empty, expected a script path, `module:Class` or a command as a list"
    else:
        message = f"`{path}` has no `run`"
    context.faults.add(
        _position_of_key(context, agent, "run"), "missing-key", message, "such as `run: agents/translator.py`"
    )


def _check_machine(context: ValidationContext, agent: AgentSpec) -> None:
    machines = context.fleet.machines
    if _has_invalid_key(context, agent, "machine") or "machines" in context.invalid_paths:
        return
    if agent.machine is None:
        if len(machines) > 1:
            listed = ", ".join(f"`{name}`" for name in machines)
            context.faults.add(
                _position_of_key(context, agent, "machine"),
                "no-machine",
                f"`{agent.name}` names no machine, and the fleet has {len(machines)}: {listed}",
                "add `machine:`, here or under `defaults`",
            )
    elif f"machines.{agent.machine}" not in context.positions:
        hint = suggest(agent.machine, machines, "machines")
        context.faults.add(
            _position_of_key(context, agent, "machine"),
            "unknown-machine",
            f"`{agent.name}` is on `{agent.machine}`, which is not under `machines`",
            hint if machines else f"add `machines: {{{agent.machine}: {{}}}}`",
        )


class _EdgeEntry(NamedTuple):
    """One entry of `needs` or `wants`."""

    kind: str
    name: str
    position: TextPosition


def _edge_entries(context: ValidationContext, agent: AgentSpec) -> Iterator[_EdgeEntry]:
    named = {"needs": [need.agent for need in agent.needs], "wants": list(agent.wants)}
    for kind, names in named.items():
        for index, name in enumerate(names):
            path = f"agents.{agent.name}.{kind}"
            position = context.position_of(
                f"{path}.{index}", f"defaults.{kind}.{index}", path, f"agents.{agent.name}"
            )
            yield _EdgeEntry(kind, name, position)


def _check_edges(context: ValidationContext, agent: AgentSpec) -> None:
    seen: dict[str, _EdgeEntry] = {}
    for entry in _edge_entries(context, agent):
        first = seen.setdefault(entry.name, entry)
        if entry.name == agent.name:
            context.faults.add(
                entry.position, "self-edge", f"`{agent.name}` {entry.kind} itself", "remove it from the list"
            )
        elif entry.name not in context.declared_names:
            context.faults.add(
                entry.position,
                "unknown-agent",
                f"`{agent.name}` {entry.kind} `{entry.name}`, which is not under `agents`",
                suggest(entry.name, context.declared_names, "agents"),
            )
        elif first is not entry:
            _report_repeated_edge(context, agent, first, entry)


def _report_repeated_edge(
    context: ValidationContext, agent: AgentSpec, first: _EdgeEntry, second: _EdgeEntry
) -> None:
    where = context.faults.format_position(first.position)
    if first.kind == second.kind:
        code, hint = "duplicate-edge", "keep one of them"
        message = f"`{agent.name}` {second.kind} `{second.name}` twice; the first is at {where}"
    else:
        code, hint = "needs-and-wants", "keep it in `needs` if the start must wait for it, else in `wants`"
        message = f"`{agent.name}` both needs ({where}) and wants `{second.name}`"
    context.faults.add(second.position, code, message, hint)


_PROBE_KEYS = {
    "notify": set[str](),
    "alive": {"seconds"},
    "zmq": {"port", "send"},
    "http": {"port", "path"},
    "tcp": {"port"},
    "log": {"pattern"},
    "exec": {"command"},
}
_PROBE_SPECIFIC_KEYS = ("port", "send", "path", "pattern", "command", "seconds")


def _check_ready(context: ValidationContext, agent: AgentSpec) -> None:
    if not _has_invalid_key(context, agent, "ready"):
        _check_probe(context, agent, "ready", agent.ready)


def _check_liveness(context: ValidationContext, agent: AgentSpec) -> None:
    liveness = agent.liveness
    if liveness is None or _has_invalid_key(context, agent, "liveness"):
        return
    if (liveness.watchdog is None) == (liveness.probe is None):
        found = "neither `watchdog` nor `probe`" if liveness.probe is None else "both `watchdog` and `probe`"
        context.faults.add(
            _position_of_key(context, agent, "liveness"),
            "liveness",
            f"`agents.{agent.name}.liveness` has {found}, expected one of them",
            "such as `liveness: {watchdog: 30s}`",
        )
    elif liveness.probe is not None:
        _check_probe(context, agent, "liveness", liveness)


def _check_probe(context: ValidationContext, agent: AgentSpec, key: str, probe: Probe | Liveness) -> None:
    kind = probe.probe or "alive"
    path = f"agents.{agent.name}.{key}"
    position = _position_of_key(context, agent, key)
    if any(_has_invalid_key(context, agent, f"{key}.{own}") for own in ("probe", *_PROBE_SPECIFIC_KEYS)):
        return
    for own in _PROBE_SPECIFIC_KEYS:
        if getattr(probe, own, None) is not None and own not in _PROBE_KEYS[kind]:
            takers = " and ".join(f"`{one}`" for one, keys in _PROBE_KEYS.items() if own in keys)
            context.faults.add(
                context.position_of(f"{path}.{own}", f"defaults.{key}.{own}", path),
                "probe",
                f"`{path}.{own}` has no meaning for probe `{kind}`, only for {takers}",
                f"name the probe (`probe: ...`) or remove `{own}`",
            )
    missing = {
        "a port": kind in PORT_PROBES and probe.port is None and not _has_faulty_port(context, agent),
        "`pattern`": kind == "log" and getattr(probe, "pattern", None) is None,
        "`command`": kind == "exec" and not probe.command,
    }
    for what, is_missing in missing.items():
        if is_missing:
            hint = "add `port` to the agent or to the probe" if what == "a port" else f"add {what}"
            context.faults.add(position, "probe", f"`{path}` is a probe `{kind}` without {what}", hint)
    _check_pattern(context, path, key, getattr(probe, "pattern", None))


def _check_pattern(context: ValidationContext, path: str, key: str, pattern: str | None) -> None:
    if pattern is None:
        return
    try:
        re.compile(pattern)
    except re.error as error:
        position = context.position_of(f"{path}.pattern", f"defaults.{key}.pattern", path)
        context.faults.add(position, "probe", f"`{path}.pattern` is not a regular expression: {error}")


def _has_faulty_port(context: ValidationContext, agent: AgentSpec) -> bool:
    return _has_invalid_key(context, agent, "port") or _has_invalid_key(context, agent, "health_port")


def _check_budget(context: ValidationContext, agent: AgentSpec) -> None:
    machine = context.fleet.machines.get(agent.machine or "")
    if machine is None or machine.gpu_memory is None or agent.gpu_memory_bytes is None:
        return
    budget = parse_size_bytes(machine.gpu_memory)
    if agent.gpu_memory_bytes > budget:
        context.faults.add(
            _position_of_key(context, agent, "gpu_memory"),
            "gpu-memory",
            f"`{agent.name}` requires {format_size(agent.gpu_memory_bytes)} of GPU memory, "
            f"`{agent.machine}` has {format_size(budget)}: it would never start",
        )


def _check_cells(context: ValidationContext) -> None:
    agents = context.fleet.agents.values()
    for conflict in find_cell_conflicts(agents):
        position = _position_of_key(context, context.fleet.agents[conflict.agent], conflict.key)
        context.faults.add(position, "cell", conflict.message, conflict.hint)
    for loop in find_restart_loops(agents):
        context.faults.add(_position_of_edge(context, loop.agent, loop.need), "cell", loop.message, loop.hint)


def _check_ports(context: ValidationContext) -> None:
    claimed: dict[tuple[str | None, int], tuple[AgentSpec, str]] = {}
    for agent in context.fleet.agents.values():
        for key in ("port", "health_port"):
            port = getattr(agent, key)
            if port is None:
                continue
            holder, holder_key = claimed.setdefault((agent.machine, port), (agent, key))
            if holder is not agent:
                _report_port_conflict(context, agent, key, holder, holder_key)


def _report_port_conflict(
    context: ValidationContext, agent: AgentSpec, key: str, holder: AgentSpec, holder_key: str
) -> None:
    where = context.faults.format_position(_position_of_key(context, holder, holder_key))
    on = f" on `{agent.machine}`" if agent.machine else ""
    context.faults.add(
        _position_of_key(context, agent, key),
        "port-used-twice",
        f"`{key}` {getattr(agent, key)} of `{agent.name}` is also the `{holder_key}` of `{holder.name}`"
        f"{on} ({where})",
        "give one of them another port",
    )


def _check_cycles(context: ValidationContext) -> None:
    graph = build_graph(context.fleet)
    for cycle in graph.cycles():
        if len(cycle) == 1:
            continue  # reported as `self-edge`
        edges = list(zip(cycle, (*cycle[1:], cycle[0]), strict=True))
        positions = {edge: _position_of_edge(context, *edge) for edge in edges}
        first, *rest = (positions[edge] for edge in edges)
        lines = ", ".join([context.faults.format_position(first), *(f":{other.line}" for other in rest)])
        cut = graph.best_cut(cycle)
        line = positions[cut].line
        context.faults.add(
            first,
            "cycle",
            f"`{cycle[0]}` waits for itself through a cycle of {len(cycle)} agents\n"
            f"  {' -> '.join((*cycle, cycle[0]))}   ({lines})",
            f"turn one `needs` into `wants`, for example `{cut[1]}` of `{cut[0]}` in line {line}",
        )


def _position_of_edge(context: ValidationContext, agent: str, need: str) -> TextPosition:
    spec = context.fleet.agents[agent]
    return next(
        entry.position
        for entry in _edge_entries(context, spec)
        if entry.kind == "needs" and entry.name == need
    )


def _check_addresses(context: ValidationContext) -> None:
    for environment, addresses in context.fleet.environments.items():
        for name, text in addresses.items():
            path = f"environments.{environment}.{name}"
            address = parse_address(text)
            if address is None:
                message = f"`{path}` is `{text}`, expected a host, `host:port` or `$VARIABLE`"
            elif name in context.fleet.machines and address.port:
                message = f"`{path}` is `{text}`, and a machine's address has no port"
            elif is_wildcard(address.host):
                message = (
                    f"`{path}` is `{text}`: a wildcard is an interface to bind; no peer can connect to it"
                )
            else:
                continue
            hint = "such as `192.168.1.10`, `redis:6379` or `$REDIS_HOST`"
            context.faults.add(context.position_of(path), "address", message, hint)
