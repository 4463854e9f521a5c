"""The containers of a fleet as data, from which compose files and Kubernetes manifests are written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec

from argosy.fault import Fault, RefusedError
from argosy.fleet.dependency_graph import strongly_connected_components
from argosy.fleet.fleet_spec import AgentSpec, Fleet
from argosy.fleet.loader import read_fleet
from argosy.fleet.redaction import redact_text
from argosy.image.plan.container_fleet_file import may_be_secret, render_container_fleet
from argosy.image.plan.grouping import process_leader, slug, unique_name
from argosy.image.plan.image_plan import Image, ImagePlan
from argosy.image.plan.stages import stage_groups

# Added by a container to the stop time-outs of its agents.
_STOP_MARGIN_S = 5.0
_Number = TypeVar("_Number", int, float)


class ContainerService(msgspec.Struct, frozen=True):
    """One long-running container.

    depends_on: services with agents that its agents need. connects_to: services, each with the ports of the
    agents that its own agents need or want. ports: on which its agents listen. secrets: variables whose
    values come from outside. env_files: as in the fleet file. start_s: the longest time until it is ready,
    including its dependencies; stop_s: until all its agents have stopped. has_gpu: one of its agents needs
    the GPU of the image.
    """

    name: str
    image: Image
    machine: str | None
    agents: tuple[str, ...]
    depends_on: tuple[str, ...]
    connects_to: dict[str, tuple[int, ...]]
    ports: tuple[int, ...]
    secrets: tuple[str, ...]
    env_files: tuple[str, ...]
    start_s: float
    stop_s: float
    memory_bytes: int | None
    cpus: float | None
    restart: bool
    has_gpu: bool


class ContainerPlan(msgspec.Struct, frozen=True):
    """All services of a fleet, dependencies first, and the text of the fleet file that they read."""

    fleet: Fleet
    services: tuple[ContainerService, ...]
    fleet_text: str
    notes: tuple[str, ...]

    def services_of(self, image: Image) -> list[ContainerService]:
        """Return the services that run an image."""
        return [service for service in self.services if service.image.name == image.name]


def plan_containers(plan: ImagePlan) -> ContainerPlan:
    """Return the containers of a planned fleet.

    Raises RefusedError: an argument looks like a secret, which would be written to a file, or the fleet file
    of the containers would not load.
    """
    _reject_secrets(plan.fleet)
    fleet = plan.fleet
    leaders = {name: process_leader(agent, fleet) for name, agent in fleet.agents.items()}
    unwaited = _unwaited_needs(fleet, leaders)
    stages = _plan_stages(plan, leaders, unwaited)
    names = _service_names(plan, stages)
    service_of = {agent: name for name, stage in zip(names, stages, strict=True) for agent in stage}
    text = render_container_fleet(fleet, service_of, unwaited)
    _, faults = read_fleet(fleet.path, text)
    if faults:
        raise RefusedError(*faults)
    start_s = _start_timeouts(fleet)
    services = tuple(
        _build_service(plan, name, stage, service_of, unwaited, start_s)
        for name, stage in zip(names, stages, strict=True)
    )
    notes = tuple(
        f"`{agent}` does not wait for `{need}`: their cells need each other"
        for agent, need in sorted(unwaited)
    )
    return ContainerPlan(fleet, services, text, notes)


def _unwaited_needs(fleet: Fleet, leaders: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """Return the needs, as (agent, need), between processes that need each other because of their cells."""
    units = dict.fromkeys(leaders.values())
    needs = {unit: tuple(_unit_needs(fleet, leaders, unit)) for unit in units}
    cycles = [set(members) for members in strongly_connected_components(needs) if len(members) > 1]
    return frozenset(
        (agent.name, need.agent)
        for agent in fleet.agents.values()
        for need in agent.needs
        for cycle in cycles
        if {leaders[agent.name], leaders[need.agent]} <= cycle and leaders[agent.name] != leaders[need.agent]
    )


def _unit_needs(
    fleet: Fleet,
    leaders: Mapping[str, str],
    unit: str,
    unwaited: frozenset[tuple[str, str]] = frozenset(),
) -> Iterator[str]:
    members = [agent for agent in fleet.agents.values() if leaders[agent.name] == unit]
    for agent in members:
        for need in agent.needs:
            if leaders[need.agent] != unit and (agent.name, need.agent) not in unwaited:
                yield leaders[need.agent]


def _plan_stages(
    plan: ImagePlan, leaders: Mapping[str, str], unwaited: frozenset[tuple[str, str]]
) -> list[tuple[str, ...]]:
    image_names = {agent: image.name for image in plan.images.values() for agent in image.agents}
    is_per_agent = plan.fleet.containers == "agent"
    units = {unit: unit if is_per_agent else image_names[unit] for unit in dict.fromkeys(leaders.values())}
    needs = {unit: tuple(_unit_needs(plan.fleet, leaders, unit, unwaited)) for unit in units}
    return [
        tuple(agent for agent in plan.fleet.agents if leaders[agent] in stage)
        for stage in stage_groups(units, needs)
    ]


def _service_names(plan: ImagePlan, stages: Iterable[tuple[str, ...]]) -> list[str]:
    """Return for each service the name of its image, with a number when an image has several services.

    With `containers: agent` in the fleet file: the name of the agent or of its cell.
    """
    if plan.fleet.containers == "agent":
        taken: set[str] = set()
        leaders = (plan.fleet.agents[stage[0]] for stage in stages)
        return [unique_name(slug(leader.cell or leader.name), taken) for leader in leaders]
    images = [plan.image_of(stage[0]).name for stage in stages]
    names: list[str] = []
    for index, image in enumerate(images):
        is_single = images.count(image) == 1
        names.append(image if is_single else f"{image}-{images[: index + 1].count(image)}")
    return names


def _build_service(
    plan: ImagePlan,
    name: str,
    stage: tuple[str, ...],
    service_of: Mapping[str, str],
    unwaited: frozenset[tuple[str, str]],
    start_s: Mapping[str, float],
) -> ContainerService:
    fleet = plan.fleet
    agents = [fleet.agents[agent] for agent in stage]
    image = plan.image_of(stage[0])
    dependencies = {
        service_of[need.agent]
        for agent in agents
        for need in agent.needs
        if (agent.name, need.agent) not in unwaited
    }
    return ContainerService(
        name=name,
        image=image,
        machine=image.machine,
        agents=stage,
        depends_on=tuple(sorted(dependencies - {name})),
        connects_to=_connections(agents, fleet, service_of),
        ports=tuple(sorted({port for agent in agents for port in (agent.port, agent.health_port) if port})),
        secrets=tuple(
            sorted({key for agent in agents for key, value in agent.env.items() if may_be_secret(key, value)})
        ),
        env_files=tuple(dict.fromkeys(agent.env_file for agent in agents if agent.env_file)),
        start_s=max(start_s[agent] for agent in stage),
        stop_s=_stop_timeout(agents, fleet) + _STOP_MARGIN_S,
        # a limit from some agents would be too low for all
        memory_bytes=sum_if_all([agent.memory_bytes for agent in agents]),
        cpus=sum_if_all([agent.cpus for agent in agents]),
        has_gpu=image.gpu is not None and any(agent in plan.gpu_agents for agent in stage),
        restart=any(agent.restart != "never" for agent in agents),
    )


def _connections(
    agents: Iterable[AgentSpec], fleet: Fleet, service_of: Mapping[str, str]
) -> dict[str, tuple[int, ...]]:
    found: dict[str, set[int]] = {}
    for agent in agents:
        for name in (*(need.agent for need in agent.needs), *agent.wants):
            other = fleet.agents[name]
            if service_of[name] != service_of[agent.name]:
                ports = {port for port in (other.port, other.health_port) if port is not None}
                found.setdefault(service_of[name], set()).update(ports)
    return {service: tuple(sorted(ports)) for service, ports in sorted(found.items())}


def _start_timeouts(fleet: Fleet) -> dict[str, float]:
    """Return for each agent the sum of the start time-outs on its longest chain of needs."""
    return _longest_chains({name: agent.start_timeout_s for name, agent in fleet.agents.items()}, fleet)


def _stop_timeout(agents: Iterable[AgentSpec], fleet: Fleet) -> float:
    """Return the longest time of an ordered stop: along the longest chain of needs among `agents`."""
    seconds = {agent.name: agent.stop_timeout_s for agent in agents}
    return max(_longest_chains(seconds, fleet).values(), default=0.0)


def _longest_chains(seconds: Mapping[str, float], fleet: Fleet) -> dict[str, float]:
    """Return for each agent the sum of `seconds` on its longest chain of needs among these agents."""
    needs = {
        name: tuple(need.agent for need in fleet.agents[name].needs if need.agent in seconds)
        for name in seconds
    }
    found: dict[str, float] = {}
    for members in strongly_connected_components(needs):
        for name in members:
            longest_need = max((found.get(need, 0.0) for need in needs[name]), default=0.0)
            found[name] = longest_need + seconds[name]
    return found


def sum_if_all(values: Collection[_Number | None]) -> _Number | None:
    """Return the sum of some values; None when there are none, or one is not known."""
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known and len(known) == len(values) else None


def _reject_secrets(fleet: Fleet) -> None:
    faults = []
    for agent in fleet.agents.values():
        arguments = " ".join([*(agent.run if isinstance(agent.run, tuple) else ()), *agent.args])
        if redact_text(arguments) != arguments:
            where = fleet.locations.get(f"agents.{agent.name}.args", agent.where)
            message = (
                f"an argument of `{agent.name}` looks like a secret, and would be in files of containers"
            )
            hint = "pass it as a variable (`env:` or `env_file:`)"
            faults.append(Fault(where, "secret", message, hint))
    if faults:
        raise RefusedError(*faults)
