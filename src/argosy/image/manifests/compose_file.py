"""Writes a compose file of a fleet: a service for each container, which waits for its dependencies.

The containers' fleet file is in their images: compose cannot mount a `config` into a read-only root. Machines
are profiles, so that one file serves all of them. Values that look like secrets are passed from the
environment of compose, and are not in the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

from argosy.fleet.yaml_emitter import dump_document
from argosy.image.plan.container_plan import ContainerPlan, ContainerService
from argosy.image.runtime.image_paths import (
    AGENTS_LABEL,
    ENTRYPOINT,
    HEALTH_COMMAND,
    IMAGE_VARIABLES,
    RUNTIME_DIR,
    STATE_DIR,
    STOP_SIGNAL,
    TEMP_DIR,
    USER_ID,
)

NETWORK: Final = "fleet"
_HEALTH_INTERVAL_S: Final = 10
_START_INTERVAL_S: Final = 1


def render_compose(containers: ContainerPlan) -> str:
    """Return the compose file; the same fleet always gives the same text."""
    return "\n".join(_header_comments(containers)) + "\n" + dump_document(build_compose(containers))


def build_compose(containers: ContainerPlan) -> dict[str, Any]:
    """Return the compose file as data."""
    is_spread = len({service.machine for service in containers.services}) > 1
    project = containers.services[0].image.project
    return {
        "name": project,
        "services": {
            service.name: dict(_service_keys(service, containers, is_spread=is_spread))
            for service in containers.services
        },
        "networks": {NETWORK: {}},
        "volumes": {_volume_name(service): {} for service in containers.services},
    }


def _header_comments(containers: ContainerPlan) -> Iterator[str]:
    yield f"# Written by `argosy compose` from the fleet `{containers.fleet.name}`."
    machines = [name for name in dict.fromkeys(service.machine for service in containers.services) if name]
    if len(machines) > 1:
        profiles = " ".join(f"--profile {name}" for name in machines)
        yield f"# A machine is a profile: `docker compose {profiles} up -d`."
    for note in containers.notes:
        yield f"# {note}"


def _service_keys(
    service: ContainerService, containers: ContainerPlan, *, is_spread: bool
) -> Iterator[tuple[str, Any]]:
    image = service.image
    yield "image", f"{image.reference}:${{ARGOSY_TAG:-latest}}"
    yield "hostname", service.name
    if is_spread and service.machine:
        yield "profiles", [service.machine]
    yield "entrypoint", list(ENTRYPOINT)
    yield "environment", _environment(service)
    if service.env_files:
        yield "env_file", [{"path": path, "required": False} for path in service.env_files]
    if service.depends_on:
        yield (
            "depends_on",
            {need: _dependency_condition(service, need, containers) for need in service.depends_on},
        )
    yield "healthcheck", _healthcheck(service)
    yield "restart", "unless-stopped" if service.restart else "no"
    yield from _security_keys(service)
    if service.ports:
        yield "expose", [str(port) for port in service.ports]
    deploy = _deploy_keys(service)
    if deploy:
        yield "deploy", deploy
    yield "labels", {AGENTS_LABEL: ",".join(service.agents), "argosy.machine": service.machine or ""}


def _environment(service: ContainerService) -> dict[str, str | None]:
    plain: dict[str, str | None] = {
        "ENV_TYPE": IMAGE_VARIABLES["ENV_TYPE"],
        "ARGOSY_HUB": IMAGE_VARIABLES["ARGOSY_HUB"],
        "ARGOSY_MACHINE": service.name,
    }
    # Without a value compose passes the value of its own environment.
    return plain | dict.fromkeys(service.secrets)


def _dependency_condition(
    service: ContainerService, service_name: str, containers: ContainerPlan
) -> dict[str, Any]:
    other = next(each for each in containers.services if each.name == service_name)
    condition: dict[str, Any] = {"condition": "service_healthy"}
    # A service of another profile may be absent; the container itself waits for its agents.
    return condition if other.machine == service.machine else {**condition, "required": False}


def _healthcheck(service: ContainerService) -> dict[str, Any]:
    return {
        "test": ["CMD", *HEALTH_COMMAND],
        "interval": f"{_HEALTH_INTERVAL_S}s",
        "timeout": "5s",
        "retries": 3,
        "start_period": f"{math.ceil(service.start_s)}s",
        "start_interval": f"{_START_INTERVAL_S}s",
    }


def _security_keys(service: ContainerService) -> Iterator[tuple[str, Any]]:
    yield "user", f"{USER_ID}:{USER_ID}"
    yield "read_only", True
    yield "cap_drop", ["ALL"]
    yield "security_opt", ["no-new-privileges:true"]
    yield "stop_signal", STOP_SIGNAL
    yield "stop_grace_period", f"{math.ceil(service.stop_s)}s"
    owned = f"uid={USER_ID},gid={USER_ID},mode=0700"
    yield "tmpfs", [f"{RUNTIME_DIR}:{owned}", f"{TEMP_DIR}:{owned}"]
    yield "volumes", [{"type": "volume", "source": _volume_name(service), "target": STATE_DIR}]
    yield "networks", [NETWORK]


def _deploy_keys(service: ContainerService) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    if service.cpus is not None:
        limits["cpus"] = f"{service.cpus:g}"
    if service.memory_bytes is not None:
        limits["memory"] = str(service.memory_bytes)
    resources: dict[str, Any] = {"limits": limits} if limits else {}
    if service.has_gpu:
        device = {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
        resources["reservations"] = {"devices": [device]}
    return {"resources": resources} if resources else {}


def _volume_name(service: ContainerService) -> str:
    return f"state-{service.name}"
