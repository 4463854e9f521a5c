"""Converts the keys of an agent to an `AgentSpec`: merges defaults, converts units, detects `run`."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec
from msgspec import UNSET

from argosy.fleet.fleet_spec import AgentKeys, AgentSpec, Backoff, Liveness, Need, Probe, RestartLimit
from argosy.fleet.quantities import parse_duration_s, parse_size_bytes

_CLASS_PATTERN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
DEFAULT_ALIVE_S = 1.0
DEFAULT_HEALTH_REQUEST: dict[str, object] = {"action": "health"}
DEFAULT_HEALTH_PATH = "/health"
# The kinds of probe that connect to a port, in `ready` and in `liveness`.
PORT_PROBES = frozenset({"zmq", "http", "tcp"})


def merge_defaults(keys: AgentKeys, defaults: AgentKeys) -> AgentKeys:
    """Return an agent's keys, with absent ones from `defaults`; `env` is merged by variable."""
    values = {
        name: getattr(defaults, name)
        for name in AgentKeys.__struct_fields__
        if getattr(keys, name) is UNSET and getattr(defaults, name) is not UNSET
    }
    if keys.env is not UNSET and defaults.env is not UNSET:
        values["env"] = {**defaults.env, **keys.env}
    return msgspec.structs.replace(keys, **values) if values else keys


def resolve_agent(name: str, keys: AgentKeys, where: str, only_machine: str | None) -> AgentSpec:
    """Return the agent that `keys`, with defaults merged in, describe.

    only_machine: the machine of an agent that names none, in a fleet with exactly one machine.
    """
    run = keys.run if keys.run is not UNSET else ""
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key in _UNCHANGED_KEYS
        if (value := getattr(keys, key)) is not UNSET
    }
    values.setdefault("machine", only_machine)
    values.update(_resolve_quantities(keys))
    kind = run_kind(run)
    needs = keys.needs if keys.needs is not UNSET else []
    ports = (keys.health_port, keys.port)
    own_port = next((port for port in ports if isinstance(port, int)), None)
    liveness = keys.liveness if keys.liveness is not UNSET else None
    if liveness is not None:
        liveness = msgspec.structs.replace(
            liveness, **_port_probe_defaults(liveness, liveness.probe, own_port)
        )
    return AgentSpec(
        name=name,
        where=where,
        run=run if isinstance(run, str) else tuple(run),
        kind=kind,
        needs=tuple(need if isinstance(need, Need) else Need(need) for need in needs),
        ready=resolve_probe(keys.ready if keys.ready is not UNSET else Probe(), kind, own_port),
        liveness=liveness,
        **values,
    )


# Keys that are copied from the file unchanged.
_UNCHANGED_KEYS = (
    *("args", "env", "env_file", "cwd", "python", "machine", "group", "port", "health_port", "wants"),
    *("required", "restart", "start", "cell", "cpus", "open_files", "idempotent"),
)


def run_kind(run: str | list[str]) -> Literal["script", "class", "command"]:
    """Return the kind of `run`: a list is a command, `module:Class` a class, anything else a script."""
    if isinstance(run, list):
        return "command"
    return "class" if _CLASS_PATTERN.fullmatch(run) else "script"


def resolve_probe(probe: Probe, kind: str, own_port: int | None) -> Probe:
    """Return a probe with its kind and the fields of that kind filled in from the defaults.

    own_port: the agent's health port, else its port.
    """
    chosen = probe.probe or ("notify" if kind == "class" else "alive")
    values = {"probe": chosen, **_port_probe_defaults(probe, chosen, own_port)}
    if chosen == "alive" and probe.seconds is None:
        values["seconds"] = DEFAULT_ALIVE_S
    return msgspec.structs.replace(probe, **values)


def _port_probe_defaults(probe: Probe | Liveness, kind: str | None, own_port: int | None) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if kind in PORT_PROBES and probe.port is None:
        values["port"] = own_port
    if kind == "zmq" and probe.send is None:
        values["send"] = DEFAULT_HEALTH_REQUEST
    if kind == "http" and probe.path is None:
        values["path"] = DEFAULT_HEALTH_PATH
    return values


def _resolve_quantities(keys: AgentKeys) -> dict[str, Any]:
    """Return the fields in seconds and bytes of the keys that are set."""
    values: dict[str, Any] = {}
    for key in ("start_timeout", "stop_timeout"):
        if (text := getattr(keys, key)) is not UNSET:
            values[f"{key}_s"] = parse_duration_s(text)
    for key in ("gpu_memory", "memory"):
        if (text := getattr(keys, key)) is not UNSET:
            values[f"{key}_bytes"] = parse_size_bytes(text)
    limit = keys.restart_limit if keys.restart_limit is not UNSET else RestartLimit()
    backoff = keys.backoff if keys.backoff is not UNSET else Backoff()
    values["restart_times"] = limit.times
    values["restart_within_s"] = parse_duration_s(limit.within)
    values["backoff_first_s"] = parse_duration_s(backoff.first)
    values["backoff_most_s"] = parse_duration_s(backoff.most)
    return values
