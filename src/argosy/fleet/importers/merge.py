"""Merges the sources into the plan of one fleet: machines, names, edges, ports, variables, addresses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from argosy.fleet.importers.deduplication import (
    PlacedAgent,
    deduplicate,
    foreign_port_decisions,
    resolve_port_conflicts,
    to_fleet_name,
)
from argosy.fleet.importers.edge_resolution import ResolvedEdges, resolve_edges
from argosy.fleet.importers.environment_addresses import resolve_addresses
from argosy.fleet.importers.import_model import (
    ImportDecision,
    ImportedAgent,
    ImportPlan,
    ImportSource,
    PlannedAgent,
)
from argosy.fleet.importers.shared_variables import SharedVariables, fix_python_path, split_shared_variables
from argosy.fleet.importers.source_placement import (
    PlacedSource,
    most_common_working_dir,
    place_sources,
    relative_path,
    relative_paths,
    working_dir_of,
)
from argosy.fleet.importers.source_search import FoundSources
from argosy.fleet.locations import format_path


def merge_sources(
    found: FoundSources,
    folder: Path,
    machine_overrides: Mapping[Path, str],
    address_overrides: Mapping[str, str],
) -> ImportPlan:
    """Return the plan of the fleet that combines all sources.

    folder: the absolute folder of the fleet file to write; its paths are relative to it.
    machine_overrides: machine names given for a source or a folder of sources.
    address_overrides: addresses given for machines and services in `development`.

    Raises InputError: `machine_overrides` has a path without a source, or `address_overrides` has an
        invalid address.
    """
    placed = place_sources(found.sources, machine_overrides)
    cwd = most_common_working_dir(placed)
    shared = split_shared_variables(placed)
    distinct, name_decisions = deduplicate(_relocate_agents(placed, shared, folder, cwd))
    agents, port_decisions = resolve_port_conflicts(distinct)
    services = [service for site in placed for service in site.source.services]
    edges = resolve_edges(agents, {service.name for service in services})
    machines = tuple(dict.fromkeys(site.machine for site in placed))
    environments, address_decisions = resolve_addresses(
        machines, agents, services, format_path(placed[0].source.path), address_overrides
    )
    decisions = [
        *found.decisions,
        *_source_decisions(placed, agents),
        *shared.decisions,
        *name_decisions,
        *port_decisions,
        *edges.decisions,
        *address_decisions,
        *_working_dir_decisions(placed[0].source, cwd, folder),
    ]
    return ImportPlan(
        fleet=to_fleet_name(cwd.name or "fleet"),
        sources=tuple(format_path(site.source.path) for site in placed),
        machines=machines,
        environments=environments,
        agents=_plan_agents(agents, edges, machines),
        edge_count=edges.found_count,
        decisions=_sort_decisions(decisions, found.sources),
        env=shared.fleet_wide,
        cwd=None if cwd == folder else relative_path(cwd, folder),
    )


def _relocate_agents(
    placed: Sequence[PlacedSource], shared: SharedVariables, folder: Path, cwd: Path
) -> list[tuple[str, ImportedAgent]]:
    """Return every agent with its machine, and with variables and paths as in the fleet file."""
    return [
        (site.machine, relative_paths(_with_source_env(agent, env, site.root), site.root, folder, cwd))
        for site, env in zip(placed, shared.by_source, strict=True)
        for agent in site.source.agents
    ]


def _with_source_env(agent: ImportedAgent, env: Mapping[str, str], root: Path) -> ImportedAgent:
    own = fix_python_path(agent.env, root, working_dir_of(agent, root))
    return msgspec.structs.replace(agent, env={**env, **own})


def _source_decisions(
    placed: Sequence[PlacedSource], agents: Sequence[PlacedAgent]
) -> Iterator[ImportDecision]:
    """Yield the decisions of each source, with the agents' names in the fleet file."""
    names = {(agent.machine, agent.imported.name): agent.name for agent in agents}
    for placed_source in placed:
        if placed_source.decision is not None:
            yield placed_source.decision
        for decision in placed_source.source.decisions:
            name = names.get((placed_source.machine, decision.agent), "")
            yield msgspec.structs.replace(decision, agent=name)
        yield from foreign_port_decisions(placed_source.source.named_ports, placed_source.machine, agents)


def _working_dir_decisions(source: ImportSource, cwd: Path, folder: Path) -> Iterator[ImportDecision]:
    if cwd != folder:
        what = f"the working folder of agents is `{relative_path(cwd, folder)}`, relative to the fleet file"
        yield ImportDecision(format_path(source.path), what, "scripts may open files relative to it")


def _plan_agents(
    agents: Sequence[PlacedAgent], edges: ResolvedEdges, machines: Sequence[str]
) -> tuple[PlannedAgent, ...]:
    """Return the agents by machine and group, both in order of first appearance."""
    groups = list(dict.fromkeys(agent.imported.group for agent in agents))
    ordered = sorted(
        agents, key=lambda agent: (machines.index(agent.machine), groups.index(agent.imported.group))
    )
    return tuple(
        PlannedAgent(one.name, one.machine, one.imported, edges.needs[one.name], edges.wants[one.name])
        for one in ordered
    )


def _sort_decisions(
    decisions: Sequence[ImportDecision], sources: Sequence[ImportSource]
) -> tuple[ImportDecision, ...]:
    """Return the decisions by source, then by line and column."""
    order = {format_path(source.path): at for at, source in enumerate(sources)}

    def key(decision: ImportDecision) -> tuple[int, int, int]:
        name, *numbers = decision.where.rsplit(":", 2)
        if len(numbers) == 2 and all(number.isdecimal() for number in numbers):
            return order.get(name, -1), int(numbers[0]), int(numbers[1])
        return order.get(decision.where, -1), 0, 0

    return tuple(sorted(decisions, key=key))
