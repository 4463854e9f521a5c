"""Merges sources into the plan of one fleet: machines, names, edges, ports, variables, addresses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from argosy.fleet.importers.addresses import settle_addresses
from argosy.fleet.importers.edges import settle_edges
from argosy.fleet.importers.found import Decision, FoundAgent, Plan, PlannedAgent, Source
from argosy.fleet.importers.joining import Placed, join
from argosy.fleet.importers.locate import locate, relative, relative_paths, working_folder
from argosy.fleet.importers.machines import name_machines
from argosy.fleet.importers.names import fleet_name
from argosy.fleet.importers.ports import settle_ports, tell_named_ports
from argosy.fleet.importers.search import Findings
from argosy.fleet.importers.variables import share
from argosy.fleet.places import displayed


def merge(findings: Findings, folder: Path, chosen: Mapping[Path, str]) -> Plan:
    """Return the plan of the fleet that the sources make together.

    folder: the absolute folder of the fleet file to be; its paths are relative to it.
    chosen: machines named by hand, for a source or a folder of sources.

    Raises InputError: `chosen` names a path that holds no source.
    """
    sources = findings.sources
    located = [locate(source) for source in sources]
    roots = [one.root for one in located]
    machines = name_machines([source.path for source in sources], roots, chosen)
    cwds = [_usual_folder([(source, root)]) for source, root in zip(sources, roots, strict=True)]
    cwd = _usual_folder(zip(sources, roots, strict=True))
    shared = share(sources, roots, cwds, machines)
    found = [
        (machine, relative_paths(_with_env(agent, env), root, folder, cwd))
        for source, root, machine, env in zip(sources, roots, machines, shared.by_source, strict=True)
        for agent in source.agents
    ]
    joined = join(found)
    agents, clashes = settle_ports(joined.agents)
    services = [service for source in sources for service in source.services]
    edges = settle_edges(agents, {service.name for service in services})
    distinct = tuple(dict.fromkeys(machines))
    addresses = settle_addresses(distinct, agents, services, displayed(sources[0].path))
    decisions = [
        *findings.decisions,
        *(one.decision for one in located if one.decision),
        *_of_sources(sources, machines, agents),
        *shared.decisions,
        *joined.decisions,
        *clashes,
        *(
            decision
            for source, machine in zip(sources, machines, strict=True)
            for decision in tell_named_ports(source.named_ports, machine, agents)
        ),
        *edges.decisions,
        *addresses.decisions,
        *_tell_folder(sources[0], cwd, folder),
    ]
    return Plan(
        fleet=fleet_name(cwd.name or "fleet"),
        sources=tuple(displayed(source.path) for source in sources),
        machines=distinct,
        environments=addresses.environments,
        agents=tuple(
            PlannedAgent(
                agent.name, agent.machine, agent.found, edges.needs[agent.name], edges.wants[agent.name]
            )
            for agent in _in_groups(agents, distinct)
        ),
        edges=edges.count,
        decisions=_in_order(decisions, sources),
        env=shared.everywhere,
        cwd=None if cwd == folder else relative(cwd, folder),
    )


def _usual_folder(sources: Iterable[tuple[Source, Path]]) -> Path:
    """Return the working folder of most agents, the first among equals."""
    folders = Counter(working_folder(agent, root) for source, root in sources for agent in source.agents)
    return folders.most_common(1)[0][0]


def _with_env(agent: FoundAgent, env: Mapping[str, str]) -> FoundAgent:
    return msgspec.structs.replace(agent, env={**env, **agent.env}) if env else agent


def _of_sources(
    sources: Sequence[Source], machines: Sequence[str], agents: Sequence[Placed]
) -> Iterable[Decision]:
    """Yield what the sources decided, with the names that their agents have in the fleet file."""
    names = {(agent.machine, agent.found.name): agent.name for agent in agents}
    for source, machine in zip(sources, machines, strict=True):
        for decision in source.decisions:
            yield msgspec.structs.replace(decision, agent=names.get((machine, decision.agent), ""))


def _tell_folder(source: Source, cwd: Path, folder: Path) -> Iterable[Decision]:
    if cwd != folder:
        what = f"agents work in `{relative(cwd, folder)}`, seen from the fleet file's folder"
        yield Decision(displayed(source.path), what, "their scripts may open files by paths relative to it")


def _in_groups(agents: Sequence[Placed], machines: Sequence[str]) -> list[Placed]:
    """Return the agents by machine and group, both in the order in which they first appear."""
    groups = list(dict.fromkeys(agent.found.group for agent in agents))
    return sorted(agents, key=lambda agent: (machines.index(agent.machine), groups.index(agent.found.group)))


def _in_order(decisions: Sequence[Decision], sources: Sequence[Source]) -> tuple[Decision, ...]:
    """Return the decisions by file in the order of the sources, then by line and column."""
    order = {displayed(source.path): at for at, source in enumerate(sources)}

    def key(decision: Decision) -> tuple[int, int, int]:
        name, *numbers = decision.where.rsplit(":", 2)
        if len(numbers) == 2 and all(number.isdecimal() for number in numbers):
            return order.get(name, -1), int(numbers[0]), int(numbers[1])
        return order.get(decision.where, -1), 0, 0

    return tuple(sorted(decisions, key=key))
