"""What must hold between the parts of a fleet file: names, needs, cycles, ports, probes, cells, budgets.

Each check adds its faults at the place of the second party, the one that a person would change.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from argosy.fleet.cells import find_discords, find_feuds
from argosy.fleet.graph import build_graph
from argosy.fleet.hosts import is_wildcard, parse_address
from argosy.fleet.hubkeys import check_hub
from argosy.fleet.places import Place
from argosy.fleet.resolve import PORT_PROBES
from argosy.fleet.spelling import suggestion
from argosy.fleet.units import shown_size, size_bytes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from argosy.fleet.places import FaultList
    from argosy.fleet.spec import AgentSpec, Fleet, Liveness, Probe


class Scene(NamedTuple):
    """A fleet under check.

    names: all names that stand under `agents`, those of faulty agents too.
    misfits: paths whose value was faulty already; nothing more is said about them.
    """

    fleet: Fleet
    faults: FaultList
    places: dict[str, Place]
    misfits: Collection[str]
    names: Collection[str]

    def place(self, *paths: str) -> Place:
        """Return the place of the first of `paths` that stands in the file."""
        return next((self.places[path] for path in paths if path in self.places), Place(1, 1))


def check_fleet(scene: Scene) -> None:
    """Add every fault between the parts of the fleet."""
    for agent in scene.fleet.agents.values():
        _check_run(scene, agent)
        _check_machine(scene, agent)
        _check_edges(scene, agent)
        _check_ready(scene, agent)
        _check_liveness(scene, agent)
        _check_budget(scene, agent)
    _check_cells(scene)
    _check_ports(scene)
    _check_cycles(scene)
    _check_addresses(scene)
    check_hub(scene)


def _key(scene: Scene, agent: AgentSpec, key: str) -> Place:
    """Return the place of an agent's key, which may be inherited from `defaults`."""
    path = f"agents.{agent.name}"
    return scene.place(f"{path}.{key}", f"defaults.{key}", path)


def _is_faulty(scene: Scene, agent: AgentSpec, key: str) -> bool:
    return f"agents.{agent.name}.{key}" in scene.misfits or f"defaults.{key}" in scene.misfits


def _check_run(scene: Scene, agent: AgentSpec) -> None:
    if agent.run or _is_faulty(scene, agent, "run"):
        return
    path = f"agents.{agent.name}"
    if f"{path}.run" in scene.places:
        message = f"`{path}.run` is empty, expected a script path, `module:Class` or a command as a list"
    else:
        message = f"`{path}` has no `run`"
    scene.faults.add(_key(scene, agent, "run"), "missing-key", message, "such as `run: agents/translator.py`")


def _check_machine(scene: Scene, agent: AgentSpec) -> None:
    machines = scene.fleet.machines
    if _is_faulty(scene, agent, "machine") or "machines" in scene.misfits:
        return
    if agent.machine is None:
        if len(machines) > 1:
            listed = ", ".join(f"`{name}`" for name in machines)
            scene.faults.add(
                _key(scene, agent, "machine"),
                "no-machine",
                f"`{agent.name}` does not say its machine, and the fleet has {len(machines)}: {listed}",
                "add `machine:`, here or under `defaults`",
            )
    elif f"machines.{agent.machine}" not in scene.places:
        hint = suggestion(agent.machine, machines, "machines")
        scene.faults.add(
            _key(scene, agent, "machine"),
            "unknown-machine",
            f"`{agent.name}` is on `{agent.machine}`, which is not under `machines`",
            hint if machines else f"add `machines: {{{agent.machine}: {{}}}}`",
        )


class _Mention(NamedTuple):
    """One entry of `needs` or `wants`."""

    kind: str
    name: str
    place: Place


def _mentions(scene: Scene, agent: AgentSpec) -> Iterator[_Mention]:
    named = {"needs": [need.agent for need in agent.needs], "wants": list(agent.wants)}
    for kind, names in named.items():
        for index, name in enumerate(names):
            path = f"agents.{agent.name}.{kind}"
            place = scene.place(f"{path}.{index}", f"defaults.{kind}.{index}", path, f"agents.{agent.name}")
            yield _Mention(kind, name, place)


def _check_edges(scene: Scene, agent: AgentSpec) -> None:
    seen: dict[str, _Mention] = {}
    for mention in _mentions(scene, agent):
        first = seen.setdefault(mention.name, mention)
        if mention.name == agent.name:
            scene.faults.add(
                mention.place, "self-edge", f"`{agent.name}` {mention.kind} itself", "take it out of the list"
            )
        elif mention.name not in scene.names:
            scene.faults.add(
                mention.place,
                "unknown-agent",
                f"`{agent.name}` {mention.kind} `{mention.name}`, which is not under `agents`",
                suggestion(mention.name, scene.names, "agents"),
            )
        elif first is not mention:
            _add_repeated(scene, agent, first, mention)


def _add_repeated(scene: Scene, agent: AgentSpec, first: _Mention, second: _Mention) -> None:
    where = scene.faults.where(first.place)
    if first.kind == second.kind:
        code, hint = "duplicate-edge", "keep one of them"
        message = f"`{agent.name}` {second.kind} `{second.name}` twice; the first is at {where}"
    else:
        code, hint = "needs-and-wants", "keep it in `needs` if the start must wait for it, else in `wants`"
        message = f"`{agent.name}` both needs ({where}) and wants `{second.name}`"
    scene.faults.add(second.place, code, message, hint)


_PROBE_KEYS = {
    "notify": set[str](),
    "alive": {"seconds"},
    "zmq": {"port", "send"},
    "http": {"port", "path"},
    "tcp": {"port"},
    "log": {"pattern"},
    "exec": {"command"},
}
_OWN_KEYS = ("port", "send", "path", "pattern", "command", "seconds")


def _check_ready(scene: Scene, agent: AgentSpec) -> None:
    if not _is_faulty(scene, agent, "ready"):
        _check_probe(scene, agent, "ready", agent.ready)


def _check_liveness(scene: Scene, agent: AgentSpec) -> None:
    liveness = agent.liveness
    if liveness is None or _is_faulty(scene, agent, "liveness"):
        return
    if (liveness.watchdog is None) == (liveness.probe is None):
        found = "neither `watchdog` nor `probe`" if liveness.probe is None else "both `watchdog` and `probe`"
        scene.faults.add(
            _key(scene, agent, "liveness"),
            "liveness",
            f"`agents.{agent.name}.liveness` has {found}, expected one of them",
            "such as `liveness: {watchdog: 30s}`",
        )
    elif liveness.probe is not None:
        _check_probe(scene, agent, "liveness", liveness)


def _check_probe(scene: Scene, agent: AgentSpec, key: str, probe: Probe | Liveness) -> None:
    kind = probe.probe or "alive"
    path = f"agents.{agent.name}.{key}"
    place = _key(scene, agent, key)
    if any(_is_faulty(scene, agent, f"{key}.{own}") for own in ("probe", *_OWN_KEYS)):
        return
    for own in _OWN_KEYS:
        if getattr(probe, own, None) is not None and own not in _PROBE_KEYS[kind]:
            takers = " and ".join(f"`{one}`" for one, keys in _PROBE_KEYS.items() if own in keys)
            scene.faults.add(
                scene.place(f"{path}.{own}", f"defaults.{key}.{own}", path),
                "probe",
                f"`{path}.{own}` has no meaning for probe `{kind}`, only for {takers}",
                f"name the probe (`probe: ...`) or take `{own}` out",
            )
    missing = {
        "a port": kind in PORT_PROBES and probe.port is None and not _has_faulty_port(scene, agent),
        "`pattern`": kind == "log" and getattr(probe, "pattern", None) is None,
        "`command`": kind == "exec" and not probe.command,
    }
    for what, is_missing in missing.items():
        if is_missing:
            hint = "give the agent a `port`, or the probe one" if what == "a port" else f"add {what}"
            scene.faults.add(place, "probe", f"`{path}` is a probe `{kind}` without {what}", hint)
    _check_pattern(scene, path, key, getattr(probe, "pattern", None))


def _check_pattern(scene: Scene, path: str, key: str, pattern: str | None) -> None:
    if pattern is None:
        return
    try:
        re.compile(pattern)
    except re.error as error:
        place = scene.place(f"{path}.pattern", f"defaults.{key}.pattern", path)
        scene.faults.add(place, "probe", f"`{path}.pattern` is not a regular expression: {error}")


def _has_faulty_port(scene: Scene, agent: AgentSpec) -> bool:
    return _is_faulty(scene, agent, "port") or _is_faulty(scene, agent, "health_port")


def _check_budget(scene: Scene, agent: AgentSpec) -> None:
    machine = scene.fleet.machines.get(agent.machine or "")
    if machine is None or machine.gpu_memory is None or agent.gpu_memory_bytes is None:
        return
    budget = size_bytes(machine.gpu_memory)
    if agent.gpu_memory_bytes > budget:
        scene.faults.add(
            _key(scene, agent, "gpu_memory"),
            "gpu-memory",
            f"`{agent.name}` asks for {shown_size(agent.gpu_memory_bytes)} of GPU memory, "
            f"`{agent.machine}` has {shown_size(budget)}: it would never start",
        )


def _check_cells(scene: Scene) -> None:
    agents = scene.fleet.agents.values()
    for discord in find_discords(agents):
        place = _key(scene, scene.fleet.agents[discord.agent], discord.key)
        scene.faults.add(place, "cell", discord.message, discord.hint)
    for feud in find_feuds(agents):
        scene.faults.add(_edge_place(scene, feud.agent, feud.need), "cell", feud.message, feud.hint)


def _check_ports(scene: Scene) -> None:
    taken: dict[tuple[str | None, int], tuple[AgentSpec, str]] = {}
    for agent in scene.fleet.agents.values():
        for key in ("port", "health_port"):
            port = getattr(agent, key)
            if port is None:
                continue
            holder, held_as = taken.setdefault((agent.machine, port), (agent, key))
            if holder is not agent:
                _add_clash(scene, agent, key, holder, held_as)


def _add_clash(scene: Scene, agent: AgentSpec, key: str, holder: AgentSpec, held_as: str) -> None:
    where = scene.faults.where(_key(scene, holder, held_as))
    on = f" on `{agent.machine}`" if agent.machine else ""
    scene.faults.add(
        _key(scene, agent, key),
        "port-used-twice",
        f"`{key}` {getattr(agent, key)} of `{agent.name}` is also the `{held_as}` of `{holder.name}`"
        f"{on} ({where})",
        "give one of them another port",
    )


def _check_cycles(scene: Scene) -> None:
    graph = build_graph(scene.fleet)
    for cycle in graph.cycles():
        if len(cycle) == 1:
            continue  # told as an edge to itself
        edges = list(zip(cycle, (*cycle[1:], cycle[0]), strict=True))
        places = {edge: _edge_place(scene, *edge) for edge in edges}
        first, *rest = (places[edge] for edge in edges)
        lines = ", ".join([scene.faults.where(first), *(f":{place.line}" for place in rest)])
        cut = graph.cut(cycle)
        scene.faults.add(
            first,
            "cycle",
            f"`{cycle[0]}` waits for itself through a cycle of {len(cycle)} agents\n"
            f"  {' -> '.join((*cycle, cycle[0]))}   ({lines})",
            f"turn one `needs` into `wants`, for example `{cut[1]}` of `{cut[0]}` in line {places[cut].line}",
        )


def _edge_place(scene: Scene, agent: str, need: str) -> Place:
    spec = scene.fleet.agents[agent]
    return next(
        mention.place
        for mention in _mentions(scene, spec)
        if mention.kind == "needs" and mention.name == need
    )


def _check_addresses(scene: Scene) -> None:
    for environment, addresses in scene.fleet.environments.items():
        for name, text in addresses.items():
            path = f"environments.{environment}.{name}"
            address = parse_address(text)
            if address is None:
                message = f"`{path}` is `{text}`, expected a host, `host:port` or `$VARIABLE`"
            elif name in scene.fleet.machines and address.port:
                message = f"`{path}` is `{text}`, and a machine's address has no port"
            elif is_wildcard(address.host):
                message = (
                    f"`{path}` is `{text}`: a wildcard is an interface to bind, and no peer can connect to it"
                )
            else:
                continue
            hint = "such as `192.168.1.10`, `redis:6379` or `$REDIS_HOST`"
            scene.faults.add(scene.place(path), "address", message, hint)
