"""The fleet that claims are about: its rows, agents, edges, ports and scripts, as its files state them.

Conflicts that `argosy import` would resolve are kept, such as cycles and ports that two rows name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import msgspec

from argosy.engine.plan.agent_sources import find_script_argument
from argosy.fault import InputError
from argosy.fleet.dependency_graph import Graph, graph_from_edges
from argosy.fleet.fleet_spec import Fleet
from argosy.fleet.importers import plan_import
from argosy.fleet.importers.import_model import ImportSource
from argosy.fleet.importers.source_search import find_sources
from argosy.fleet.loader import read_fleet
from argosy.refit.claims.query_result import CodeLocation


class StatedAgent(msgspec.Struct, frozen=True):
    """One agent. script: its path in the tree, empty for a command. needs: names of agents."""

    name: str
    machine: str
    location: CodeLocation
    script: str
    needs: tuple[str, ...]
    is_required: bool


class PortUse(msgspec.Struct, frozen=True):
    """A port in a row of a file. owner: the agent and the key."""

    machine: str
    port: int
    owner: str
    location: CodeLocation


class FleetFacts(msgspec.Struct, frozen=True, dict=True):
    """A fleet as stated. rows: the count of entries in its files; one agent may have several.

    edges: (agent, target, location), each once, including those to unknown agents. fleet: None unless a
    fleet file defines it.
    """

    agents: tuple[StatedAgent, ...]
    rows: int
    edges: tuple[tuple[str, str, CodeLocation], ...]
    ports: tuple[PortUse, ...]
    fleet: Fleet | None

    @cached_property
    def graph(self) -> Graph:
        """The needs between the agents of the fleet."""
        return graph_from_edges({agent.name: agent.needs for agent in self.agents})

    @property
    def scripts(self) -> tuple[str, ...]:
        """The scripts that agents run, each once."""
        return tuple(dict.fromkeys(agent.script for agent in self.agents if agent.script))

    def find_agent(self, name: str) -> StatedAgent | None:
        """Return the agent of a name, None when there is none."""
        return next((agent for agent in self.agents if agent.name == name), None)


def read_fleet_facts(root: str, paths: Sequence[str]) -> FleetFacts:
    """Return the fleet that files in the tree define.

    root: real and absolute. paths: relative to it: one fleet file, or files that `argosy import` reads.
    Raises InputError: a file is missing or malformed.
    """
    files = [Path(root, path) for path in paths]
    if len(files) == 1 and files[0].is_file() and _is_fleet_file(files[0]):
        fleet, faults = read_fleet(files[0])
        if fleet is None:
            raise InputError(*faults)
        return _facts_from_fleet(root, fleet)
    return _facts_from_sources(root, files)


def _is_fleet_file(path: Path) -> bool:
    try:
        find_sources((path,))
    except InputError as error:
        return error.faults[0].code == "fleet-file"
    return False


def _facts_from_fleet(root: str, fleet: Fleet) -> FleetFacts:
    folder = os.path.dirname(fleet.path)
    agents = tuple(
        StatedAgent(
            name,
            agent.machine or "",
            _parse_location(root, agent.where, name),
            _script_path(root, folder, agent.run),
            tuple(need.agent for need in agent.needs),
            agent.required,
        )
        for name, agent in fleet.agents.items()
    )
    edges = tuple(
        (
            name,
            need.agent,
            _parse_location(
                root, fleet.locations.get(f"agents.{name}.needs.{at}", agent.where), f"{name} -> {need.agent}"
            ),
        )
        for name, agent in fleet.agents.items()
        for at, need in enumerate(agent.needs)
    )
    ports = tuple(
        PortUse(agent.machine or "", port, f"{name}.{key}", _parse_location(root, agent.where, name))
        for name, agent in fleet.agents.items()
        for key, port in (("port", agent.port), ("health_port", agent.health_port))
        if port is not None
    )
    return FleetFacts(agents, len(agents), tuple(edges), ports, fleet)


def _facts_from_sources(root: str, paths: Sequence[Path]) -> FleetFacts:
    plan = plan_import(paths, Path(root))
    sources = find_sources(tuple(paths)).sources
    agents_by_name: dict[str, list[tuple[str, str]]] = {}
    for agent in plan.agents:
        agents_by_name.setdefault(agent.imported.name, []).append((agent.machine, agent.name))
    agents, edges = [], []
    for agent in plan.agents:
        needs: list[str] = []
        for edge in {item.target: item for item in agent.imported.edges if item.kind == "need"}.values():
            edges.append(
                (agent.name, edge.target, _parse_location(root, edge.where, f"{agent.name} -> {edge.target}"))
            )
            needs += _resolve_targets(agents_by_name.get(edge.target, []), agent.machine)
        agents.append(
            StatedAgent(
                agent.name,
                agent.machine,
                _parse_location(root, agent.imported.where, agent.name),
                _script_path(root, root, agent.imported.run),
                tuple(dict.fromkeys(needs)),
                agent.imported.required,
            )
        )
    ports = [
        PortUse(str(source.path), port, by, _parse_location(root, where, by))
        for source in sources
        for port, by, where in _row_ports(source)
    ]
    rows = sum(len(source.agents) for source in sources)
    return FleetFacts(tuple(agents), rows, tuple(edges), tuple(ports), None)


def _row_ports(source: ImportSource) -> Iterator[tuple[int, str, str]]:
    for agent in source.agents:
        for key, port in (("port", agent.port), ("health_port", agent.health_port)):
            if port is not None:
                yield port, f"{agent.name}.{key}", agent.where
    for item in source.named_ports:
        yield item.port, item.key, item.where


def _resolve_targets(candidates: Sequence[tuple[str, str]], machine: str) -> list[str]:
    """Return the agents that a name refers to: those of the same machine, else the only one."""
    local = [name for other, name in candidates if other == machine]
    return local or ([candidates[0][1]] if len(candidates) == 1 else [])


def _script_path(root: str, folder: str, run: str | tuple[str, ...]) -> str:
    if isinstance(run, tuple):
        script = find_script_argument(run) or ""
    else:
        script = run if run.endswith(".py") else run.partition(":")[0].replace(".", "/") + ".py"
    return _relative(root, os.path.join(folder, script)) if script else ""


def _parse_location(root: str, position: str, symbol: str) -> CodeLocation:
    """Return the location of a `file:line:column` of the fleet's loaders, relative to the tree."""
    path, *numbers = position.rsplit(":", 2)
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
        return CodeLocation(_relative(root, position), symbol=symbol)
    return CodeLocation(_relative(root, path), int(numbers[0]), int(numbers[1]), symbol)


def _relative(root: str, path: str) -> str:
    return os.path.relpath(os.path.realpath(path), root).replace(os.sep, "/")


def ports_used_twice(facts: FleetFacts) -> Mapping[tuple[str, int], Sequence[PortUse]]:
    """Return the ports that more than one row names, by machine and port."""
    found: dict[tuple[str, int], list[PortUse]] = {}
    for use in facts.ports:
        found.setdefault((use.machine, use.port), []).append(use)
    return {key: uses for key, uses in found.items() if len(uses) > 1}
