"""Which agents share an image: by the groups of the fleet file, else by their heavy packages.

The members of a cell are one process, so they are in one image.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from argosy.fleet.fleet_spec import AgentSpec, Fleet
from argosy.image.plan.known_packages import HEAVY_PACKAGES

LIGHT_PROFILE = "light"
_PACKAGES_IN_NAME = 2


class ImageGroup(msgspec.Struct, frozen=True):
    """Agents of one machine that share an image. name: valid for images, services and host names."""

    name: str
    machine: str | None
    agents: tuple[str, ...]


def group_agents(fleet: Fleet, packages: Mapping[str, Iterable[str]]) -> tuple[ImageGroup, ...]:
    """Return the images of a fleet; every agent is in exactly one.

    packages: the distributions of each agent, by which agents without a `group` are grouped.
    """
    profiles = {
        agent.name: agent.group or _package_profile(packages.get(agent.name, ()))
        for agent in _process_leaders(fleet)
    }
    return _build_groups(fleet, profiles, {agent.group for agent in fleet.agents.values() if agent.group})


def propose_groups(fleet: Fleet, packages: Mapping[str, Iterable[str]]) -> tuple[ImageGroup, ...]:
    """Return groups by imports alone: one for each machine and set of heavy packages."""
    return _build_groups(
        fleet,
        {agent.name: _package_profile(packages.get(agent.name, ())) for agent in _process_leaders(fleet)},
    )


def slug(text: str) -> str:
    """Return `text` as a DNS label: lower case, digits and `-`, at most 50 characters, a letter first."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:50].rstrip("-")
    return plain if plain[:1].isalpha() else f"g{'-' if plain else ''}{plain}"


def _process_leaders(fleet: Fleet) -> list[AgentSpec]:
    """Return the agents whose groups count: every agent without a cell, and the first of each cell."""
    return [agent for agent in fleet.agents.values() if process_leader(agent, fleet) == agent.name]


def process_leader(agent: AgentSpec, fleet: Fleet) -> str:
    """Return the first agent of an agent's process: itself, or the first of its cell."""
    if agent.cell is None:
        return agent.name
    return next(
        other.name
        for other in fleet.agents.values()
        if other.cell == agent.cell and other.machine == agent.machine
    )


def _package_profile(packages: Iterable[str]) -> str:
    """Return a name for an agent's heavy packages: the first two and a count of the others, or `light`."""
    heavy = sorted(HEAVY_PACKAGES & set(packages))
    suffix = f"-and-{len(heavy) - _PACKAGES_IN_NAME}" if len(heavy) > _PACKAGES_IN_NAME else ""
    return "-".join(heavy[:_PACKAGES_IN_NAME]) + suffix if heavy else LIGHT_PROFILE


def _build_groups(
    fleet: Fleet, profiles: Mapping[str, str], file_groups: Iterable[str] = ()
) -> tuple[ImageGroup, ...]:
    """Return a group for each machine and profile; a profile on several machines has theirs in its name."""
    members: dict[tuple[str | None, str], list[str]] = {}
    for agent in fleet.agents.values():
        key = (agent.machine, profiles[process_leader(agent, fleet)])
        members.setdefault(key, []).append(agent.name)
    machines: dict[str, set[str | None]] = {}
    for machine, profile in members:
        machines.setdefault(profile, set()).add(machine)
    groups: list[ImageGroup] = []
    taken: set[str] = set()
    reserved = set(file_groups)
    for (machine, profile), agents in members.items():
        is_shared = len(machines[profile]) > 1 or (profile not in reserved and machine is not None)
        name = slug(f"{machine}-{profile}" if is_shared and machine else profile)
        groups.append(ImageGroup(unique_name(name, taken), machine, tuple(agents)))
    return tuple(groups)


def unique_name(name: str, taken: set[str]) -> str:
    """Return `name`, with a number when it is in `taken`, and add it to `taken`."""
    found, number = name, 2
    while found in taken:
        found, number = f"{name}-{number}", number + 1
    taken.add(found)
    return found
