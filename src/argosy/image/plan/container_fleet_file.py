"""The fleet file that containers read: the same agents, with each service as a machine.

In its environment `container` every machine's address is the name of its service. Settings of one host are
left out: interpreters, env files, and values that look like secrets, which come from outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from argosy.fleet.environments import environment_names
from argosy.fleet.fleet_spec import AgentSpec, Fleet, Liveness, Probe
from argosy.fleet.quantities import format_duration
from argosy.fleet.redaction import is_secret_name, redact_text
from argosy.fleet.yaml_emitter import dump_document

ENVIRONMENT: Final = "container"
_DEFAULT_SPEC: Final = AgentSpec(name="", where="", run="", kind="script", ready=Probe())


def may_be_secret(name: str, value: str) -> bool:
    """Return whether a variable's value may be a secret: by its name, or by a password in a URL."""
    return is_secret_name(name) or redact_text(value) != value


def render_container_fleet(
    fleet: Fleet, service_of: Mapping[str, str], unwaited: frozenset[tuple[str, str]] = frozenset()
) -> str:
    """Return the text of the fleet file for the containers of a fleet.

    service_of: agent to the service that runs it. unwaited: needs, as (agent, need), written as wants.
    """
    services = dict.fromkeys(service_of.values())
    addresses: dict[str, str] = {name: name for name in services}
    addresses |= _other_addresses(fleet, services)
    value: dict[str, Any] = {
        "fleet": fleet.name,
        "machines": {name: {} for name in services},
        "environments": {ENVIRONMENT: addresses},
    }
    if fleet.max_starting is not None:
        value["max_starting"] = fleet.max_starting
    if fleet.preload != "auto":
        value["preload"] = list(fleet.preload) if isinstance(fleet.preload, tuple) else fleet.preload
    value["logs"] = {key: item for key, item in msgspec.to_builtins(fleet.logs).items() if item is not None}
    value["agents"] = {
        agent.name: dict(_agent_keys(agent, service_of[agent.name], unwaited))
        for agent in fleet.agents.values()
    }
    return dump_document(value)


def _other_addresses(fleet: Fleet, services: Mapping[str, object]) -> dict[str, str]:
    """Return the addresses of hosts that are not machines of the fleet, such as databases and brokers."""
    if ENVIRONMENT not in environment_names(fleet) or not fleet.environments:
        return {}
    found = fleet.environments[ENVIRONMENT]
    return {
        name: value for name, value in found.items() if name not in fleet.machines and name not in services
    }


def _agent_keys(
    agent: AgentSpec, service: str, unwaited: frozenset[tuple[str, str]]
) -> Iterator[tuple[str, Any]]:
    yield "run", list(agent.run) if isinstance(agent.run, tuple) else agent.run
    yield "machine", service
    public = {name: value for name, value in agent.env.items() if not may_be_secret(name, value)}
    for key, value in (("args", list(agent.args)), ("env", public)):
        if value:
            yield key, value
    for key in ("cwd", "group", "port", "health_port", "cell"):
        value = getattr(agent, key)
        if value is not None:
            yield key, value
    waited = [need for need in agent.needs if (agent.name, need.agent) not in unwaited]
    wants = [*agent.wants, *(need.agent for need in agent.needs if (agent.name, need.agent) in unwaited)]
    if waited:
        yield (
            "needs",
            [
                need.agent if need.on_death == "wait" else {"agent": need.agent, "on_death": need.on_death}
                for need in waited
            ],
        )
    if wants:
        yield "wants", list(dict.fromkeys(wants))
    yield "ready", _probe_keys(agent.ready)
    if agent.liveness is not None:
        yield "liveness", _probe_keys(agent.liveness)
    yield from _limit_keys(agent)


def _probe_keys(probe: Probe | Liveness) -> dict[str, Any]:
    """Return the keys of a probe whose values are not the defaults."""
    defaults = msgspec.to_builtins(type(probe)())
    return {
        key: value
        for key, value in msgspec.to_builtins(probe).items()
        if key == "probe" or value != defaults.get(key)
        if value is not None
    }


def _limit_keys(agent: AgentSpec) -> Iterator[tuple[str, Any]]:
    for key in ("start_timeout", "stop_timeout"):
        seconds = getattr(agent, f"{key}_s")
        if seconds != getattr(_DEFAULT_SPEC, f"{key}_s"):
            yield key, format_duration(seconds)
    for key in ("required", "restart", "start", "open_files", "cpus"):
        value = getattr(agent, key)
        if value != getattr(_DEFAULT_SPEC, key):
            yield key, value
    for key in ("memory", "gpu_memory"):
        size = getattr(agent, f"{key}_bytes")
        if size is not None:
            yield key, f"{size}B"
    if (
        agent.restart_times != _DEFAULT_SPEC.restart_times
        or agent.restart_within_s != _DEFAULT_SPEC.restart_within_s
    ):
        within = format_duration(agent.restart_within_s)
        yield "restart_limit", {"times": agent.restart_times, "within": within}
    if (agent.backoff_first_s, agent.backoff_most_s) != (
        _DEFAULT_SPEC.backoff_first_s,
        _DEFAULT_SPEC.backoff_most_s,
    ):
        first, maximum = format_duration(agent.backoff_first_s), format_duration(agent.backoff_most_s)
        yield "backoff", {"first": first, "most": maximum}
    if agent.idempotent:
        yield "idempotent", list(agent.idempotent)
