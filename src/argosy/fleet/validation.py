"""Validates relations in a fleet file: names, needs, cycles, ports, probes, cells, budgets, the hub.

Each check reports a conflict at the later of the two entries, the one to change.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from argosy.fleet.cell_checks import find_cell_conflicts, find_restart_loops
from argosy.fleet.dependency_graph import build_graph
from argosy.fleet.fleet_spec import AgentSpec, Fleet, Liveness, Probe
from argosy.fleet.hosts import is_wildcard, parse_address
from argosy.fleet.locations import FaultList, TextPosition
from argosy.fleet.normalization import PORT_PROBES
from argosy.fleet.quantities import format_names, format_size, parse_size_bytes
from argosy.fleet.suggestions import suggest


class ValidationContext(NamedTuple):
    """A fleet being validated.

    invalid_paths: paths whose value is already reported as invalid and is not checked again.
    declared_names: all names under `agents`, including those of invalid agents.
    """

    fleet: Fleet
    faults: FaultList
    positions: dict[str, TextPosition]
    invalid_paths: Collection[str]
    declared_names: Collection[str]

    def position_of(self, *paths: str) -> TextPosition:
        """Return the position of the first of `paths` that is in the file."""
        return next((self.positions[path] for path in paths if path in self.positions), TextPosition(1, 1))

    def position_of_key(self, agent: AgentSpec, key: str) -> TextPosition:
        """Return the position of an agent's key, which may be inherited from `defaults`."""
        path = f"agents.{agent.name}"
        return self.position_of(f"{path}.{key}", f"defaults.{key}", path)

    def has_invalid_key(self, agent: AgentSpec, key: str) -> bool:
        """Return whether the value of an agent's key is invalid."""
        return not {f"agents.{agent.name}.{key}", f"defaults.{key}"}.isdisjoint(self.invalid_paths)

    def report(self, path: str, code: str, message: str, hint: str = "") -> None:
        """Add a fault at a path of the file."""
        self.faults.add(self.position_of(path), code, message, hint)

    def report_key(self, agent: AgentSpec, key: str, code: str, message: str, hint: str = "") -> None:
        """Add a fault at a key of an agent."""
        self.faults.add(self.position_of_key(agent, key), code, message, hint)


def validate_fleet(context: ValidationContext) -> None:
    """Add all faults of relations in the fleet."""
    for agent in context.fleet.agents.values():
        _check_run(context, agent)
        _check_machine(context, agent)
        _check_edges(context, agent)
        if not context.has_invalid_key(agent, "ready"):
            _check_probe(context, agent, "ready", agent.ready)
        _check_liveness(context, agent)
        _check_budget(context, agent)
    _check_cells(context)
    _check_ports(context)
    _check_cycles(context)
    _check_addresses(context)
    if "hub" not in context.invalid_paths:
        _check_hub_agents(context)
        _check_thresholds(context)
        _check_recoveries(context)


def _check_run(context: ValidationContext, agent: AgentSpec) -> None:
    if agent.run or context.has_invalid_key(agent, "run"):
        return
    path = f"agents.{agent.name}"
    message = f"`{path}` has no `run`"
    if f"{path}.run" in context.positions:
        message = f"`{path}.run` is empty, expected a script path, `module:Class` or a command as a list"
    context.report_key(agent, "run", "missing-key", message, "such as `run: agents/translator.py`")


def _check_machine(context: ValidationContext, agent: AgentSpec) -> None:
    machines = context.fleet.machines
    if context.has_invalid_key(agent, "machine") or "machines" in context.invalid_paths:
        return
    if agent.machine is None:
        if len(machines) > 1:
            found = f"the fleet has {len(machines)}: {format_names(machines)}"
            message = f"`{agent.name}` names no machine, and {found}"
            hint = "add `machine:`, here or under `defaults`"
            context.report_key(agent, "machine", "no-machine", message, hint)
    elif f"machines.{agent.machine}" not in context.positions:
        hint = f"add `machines: {{{agent.machine}: {{}}}}`"
        hint = suggest(agent.machine, machines, "machines") if machines else hint
        message = f"`{agent.name}` is on `{agent.machine}`, which is not under `machines`"
        context.report_key(agent, "machine", "unknown-machine", message, hint)


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
        kind, name, position = entry
        first = seen.setdefault(name, entry)
        where = context.faults.format_position(first.position)
        if name == agent.name:
            code, message, hint = "self-edge", f"`{name}` {kind} itself", "remove it from the list"
        elif name not in context.declared_names:
            code, hint = "unknown-agent", suggest(name, context.declared_names, "agents")
            message = f"`{agent.name}` {kind} `{name}`, which is not under `agents`"
        elif first is entry:
            continue
        elif first.kind == kind:
            code, hint = "duplicate-edge", "keep one of them"
            message = f"`{agent.name}` {kind} `{name}` twice; the first is at {where}"
        else:
            code = "needs-and-wants"
            hint = "keep it in `needs` if the start must wait for it, else in `wants`"
            message = f"`{agent.name}` both needs ({where}) and wants `{name}`"
        context.faults.add(position, code, message, hint)


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


def _check_liveness(context: ValidationContext, agent: AgentSpec) -> None:
    liveness = agent.liveness
    if liveness is None or context.has_invalid_key(agent, "liveness"):
        return
    if (liveness.watchdog is None) == (liveness.probe is None):
        found = "neither `watchdog` nor `probe`" if liveness.probe is None else "both `watchdog` and `probe`"
        message = f"`agents.{agent.name}.liveness` has {found}, expected one of them"
        context.report_key(agent, "liveness", "liveness", message, "such as `liveness: {watchdog: 30s}`")
    elif liveness.probe is not None:
        _check_probe(context, agent, "liveness", liveness)


def _check_probe(context: ValidationContext, agent: AgentSpec, key: str, probe: Probe | Liveness) -> None:
    kind = probe.probe or "alive"
    path = f"agents.{agent.name}.{key}"
    if any(context.has_invalid_key(agent, f"{key}.{own}") for own in ("probe", *_PROBE_SPECIFIC_KEYS)):
        return
    for own in _PROBE_SPECIFIC_KEYS:
        if getattr(probe, own, None) is not None and own not in _PROBE_KEYS[kind]:
            takers = " and ".join(f"`{one}`" for one, keys in _PROBE_KEYS.items() if own in keys)
            position = context.position_of(f"{path}.{own}", f"defaults.{key}.{own}", path)
            message = f"`{path}.{own}` has no meaning for probe `{kind}`, only for {takers}"
            hint = f"name the probe (`probe: ...`) or remove `{own}`"
            context.faults.add(position, "probe", message, hint)
    has_faulty_port = context.has_invalid_key(agent, "port") or context.has_invalid_key(agent, "health_port")
    pattern = getattr(probe, "pattern", None)
    missing = {
        "a port": kind in PORT_PROBES and probe.port is None and not has_faulty_port,
        "`pattern`": kind == "log" and pattern is None,
        "`command`": kind == "exec" and not probe.command,
    }
    for what, is_missing in missing.items():
        if is_missing:
            hint = "add `port` to the agent or to the probe" if what == "a port" else f"add {what}"
            context.report_key(agent, key, "probe", f"`{path}` is a probe `{kind}` without {what}", hint)
    try:
        re.compile(pattern or "")
    except re.error as error:
        position = context.position_of(f"{path}.pattern", f"defaults.{key}.pattern", path)
        context.faults.add(position, "probe", f"`{path}.pattern` is not a regular expression: {error}")


def _check_budget(context: ValidationContext, agent: AgentSpec) -> None:
    machine = context.fleet.machines.get(agent.machine or "")
    if machine is None or machine.gpu_memory is None or agent.gpu_memory_bytes is None:
        return
    budget = parse_size_bytes(machine.gpu_memory)
    if agent.gpu_memory_bytes > budget:
        message = (
            f"`{agent.name}` requires {format_size(agent.gpu_memory_bytes)} of GPU memory, "
            f"`{agent.machine}` has {format_size(budget)}: it would never start"
        )
        context.report_key(agent, "gpu_memory", "gpu-memory", message)


def _check_cells(context: ValidationContext) -> None:
    agents = context.fleet.agents.values()
    for agent, key, message, hint in find_cell_conflicts(agents):
        context.report_key(context.fleet.agents[agent], key, "cell", message, hint)
    for agent, need, message, hint in find_restart_loops(agents):
        context.faults.add(_position_of_edge(context, agent, need), "cell", message, hint)


def _check_ports(context: ValidationContext) -> None:
    claimed: dict[tuple[str | None, int], tuple[AgentSpec, str]] = {}
    for agent in context.fleet.agents.values():
        for key in ("port", "health_port"):
            port = getattr(agent, key)
            if port is None:
                continue
            holder, holder_key = claimed.setdefault((agent.machine, port), (agent, key))
            if holder is not agent:
                where = context.faults.format_position(context.position_of_key(holder, holder_key))
                other = f"the `{holder_key}` of `{holder.name}`"
                on = f" on `{agent.machine}`" if agent.machine else ""
                message = f"`{key}` {port} of `{agent.name}` is also {other}{on} ({where})"
                context.report_key(agent, key, "port-used-twice", message, "give one of them another port")


def _check_cycles(context: ValidationContext) -> None:
    graph = build_graph(context.fleet)
    for cycle in graph.cycles():
        if len(cycle) == 1:
            continue  # reported as `self-edge`
        edges = list(zip(cycle, (*cycle[1:], cycle[0]), strict=True))
        positions = {edge: _position_of_edge(context, *edge) for edge in edges}
        first, *rest = (positions[edge] for edge in edges)
        lines = ", ".join([context.faults.format_position(first), *(f":{other.line}" for other in rest)])
        agent, need = graph.best_cut(cycle)
        message = f"`{cycle[0]}` waits for itself through a cycle of {len(cycle)} agents\n"
        message += f"  {' -> '.join((*cycle, cycle[0]))}   ({lines})"
        example = f"`{need}` of `{agent}` in line {positions[agent, need].line}"
        context.faults.add(first, "cycle", message, f"turn one `needs` into `wants`, for example {example}")


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
            context.report(path, "address", message, hint)


def _check_hub_agents(context: ValidationContext) -> None:
    hub, known = context.fleet.hub, context.declared_names
    sections = {f"hub.alerts.thresholds.{n}": one.agents for n, one in enumerate(hub.alerts.thresholds)}
    sections |= {f"hub.recovery.{number}": one.agents for number, one in enumerate(hub.recovery)}
    for section, agents in sections.items():
        for index, name in enumerate(agents):
            path = f"{section}.agents.{index}"
            if path not in context.invalid_paths and name not in known:
                message = f"`{path}` is `{name}`, which is not under `agents`"
                context.report(path, "unknown-agent", message, suggest(name, known, "agents"))


def _check_thresholds(context: ValidationContext) -> None:
    for number, each in enumerate(context.fleet.hub.alerts.thresholds):
        path = f"hub.alerts.thresholds.{number}"
        if (each.above is None) == (each.below is None) and not _has_invalid_value(context, path):
            found = "neither `above` nor `below`" if each.above is None else "both `above` and `below`"
            message = f"`{path}` has {found}, expected one of them"
            context.report(path, "threshold", message, "such as `above: 500`")


def _check_recoveries(context: ValidationContext) -> None:
    metrics = {each.metric for each in context.fleet.hub.alerts.thresholds}
    for number, each in enumerate(context.fleet.hub.recovery):
        path = f"hub.recovery.{number}"
        if _has_invalid_value(context, path):
            continue
        if each.do == "run" and not each.run:
            hint = "such as `run: [./free-gpu.sh]`"
            context.report(f"{path}.do", "recovery", f"`{path}` has `do: run` without `run`", hint)
        elif each.do != "run" and each.run:
            message = f"`{path}.run` has no meaning for `do: {each.do}`"
            context.report(f"{path}.run", "recovery", message, "set `do: run`, or remove it")
        if each.metric is not None and each.metric not in metrics:
            message = f"`{path}.figure` is `{each.metric}`, which no threshold has"
            context.report(f"{path}.figure", "recovery", message, "add it under `hub.alerts.thresholds`")


def _has_invalid_value(context: ValidationContext, path: str) -> bool:
    return any(each == path or each.startswith(f"{path}.") for each in context.invalid_paths)
