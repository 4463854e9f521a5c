"""Merges sources into the plan of one fleet: machines, names, edges, ports, variables, addresses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from argosy.fleet.importers.addresses import settle_addresses
from argosy.fleet.importers.edges import Edges, settle_edges
from argosy.fleet.importers.found import Decision, FoundAgent, Plan, PlannedAgent, Source
from argosy.fleet.importers.joining import Placed, join
from argosy.fleet.importers.locate import relative, relative_paths, working_folder
from argosy.fleet.importers.names import fleet_name
from argosy.fleet.importers.ports import settle_ports, tell_named_ports
from argosy.fleet.importers.search import Findings
from argosy.fleet.importers.sites import Site, place_sources, usual_folder
from argosy.fleet.importers.variables import Shared, mend_path, share
from argosy.fleet.places import displayed


def merge(findings: Findings, folder: Path, chosen: Mapping[Path, str], told: Mapping[str, str]) -> Plan:
    """Return the plan of the fleet that the sources make together.

    folder: the absolute folder of the fleet file to be; its paths are relative to it.
    chosen: machines named by hand, for a source or a folder of sources.
    told: addresses of machines and services in `development`, told by hand.

    Raises InputError: `chosen` names a path that holds no source, or `told` an address that is none.
    """
    sites = place_sources(findings.sources, chosen)
    cwd = usual_folder(sites)
    shared = share(sites)
    joined = join(_relative_agents(sites, shared, folder, cwd))
    agents, clashes = settle_ports(joined.agents)
    services = [service for site in sites for service in site.source.services]
    edges = settle_edges(agents, {service.name for service in services})
    machines = tuple(dict.fromkeys(site.machine for site in sites))
    addresses = settle_addresses(machines, agents, services, displayed(sites[0].source.path), told)
    decisions = [
        *findings.decisions,
        *_of_sites(sites, agents),
        *shared.decisions,
        *joined.decisions,
        *clashes,
        *edges.decisions,
        *addresses.decisions,
        *_tell_folder(sites[0].source, cwd, folder),
    ]
    return Plan(
        fleet=fleet_name(cwd.name or "fleet"),
        sources=tuple(displayed(site.source.path) for site in sites),
        machines=machines,
        environments=addresses.environments,
        agents=_planned(agents, edges, machines),
        edges=edges.count,
        decisions=_in_order(decisions, findings.sources),
        env=shared.everywhere,
        cwd=None if cwd == folder else relative(cwd, folder),
    )


def _relative_agents(
    sites: Sequence[Site], shared: Shared, folder: Path, cwd: Path
) -> list[tuple[str, FoundAgent]]:
    """Return every agent found, with its machine, its variables and its paths as the fleet file has them."""
    return [
        (site.machine, relative_paths(_with_env(agent, env, site.root), site.root, folder, cwd))
        for site, env in zip(sites, shared.by_source, strict=True)
        for agent in site.source.agents
    ]


def _with_env(agent: FoundAgent, env: Mapping[str, str], root: Path) -> FoundAgent:
    own = mend_path(agent.env, root, working_folder(agent, root))
    return msgspec.structs.replace(agent, env={**env, **own})


def _of_sites(sites: Sequence[Site], agents: Sequence[Placed]) -> Iterator[Decision]:
    """Yield what each source decided, with the names that its agents have in the fleet file."""
    names = {(agent.machine, agent.found.name): agent.name for agent in agents}
    for site in sites:
        if site.decision is not None:
            yield site.decision
        for decision in site.source.decisions:
            name = names.get((site.machine, decision.agent), "")
            yield msgspec.structs.replace(decision, agent=name)
        yield from tell_named_ports(site.source.named_ports, site.machine, agents)


def _tell_folder(source: Source, cwd: Path, folder: Path) -> Iterator[Decision]:
    if cwd != folder:
        what = f"agents work in `{relative(cwd, folder)}`, seen from the fleet file's folder"
        yield Decision(displayed(source.path), what, "their scripts may open files by paths relative to it")


def _planned(agents: Sequence[Placed], edges: Edges, machines: Sequence[str]) -> tuple[PlannedAgent, ...]:
    """Return the agents by machine and group, both in the order in which they first appear."""
    groups = list(dict.fromkeys(agent.found.group for agent in agents))
    ordered = sorted(
        agents, key=lambda agent: (machines.index(agent.machine), groups.index(agent.found.group))
    )
    return tuple(
        PlannedAgent(one.name, one.machine, one.found, edges.needs[one.name], edges.wants[one.name])
        for one in ordered
    )


def _in_order(decisions: Sequence[Decision], sources: Sequence[Source]) -> tuple[Decision, ...]:
    """Return the decisions by file in the order of the sources, then by line and column."""
    order = {displayed(source.path): at for at, source in enumerate(sources)}

    def key(decision: Decision) -> tuple[int, int, int]:
        name, *numbers = decision.where.rsplit(":", 2)
        if len(numbers) == 2 and all(number.isdecimal() for number in numbers):
            return order.get(name, -1), int(numbers[0]), int(numbers[1])
        return order.get(decision.where, -1), 0, 0

    return tuple(sorted(decisions, key=key))
