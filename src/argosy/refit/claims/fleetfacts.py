"""The fleet that claims are about: its rows, agents, edges and scripts, as its own files state them.

Nothing is decided here that an import would decide: a cycle stays one, a port that two rows name stays
named by two.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import msgspec

from argosy.engine.sources import script_of
from argosy.fault import InputError
from argosy.fleet.graph import Graph, graph_of
from argosy.fleet.importers import plan_import
from argosy.fleet.importers.found import Source
from argosy.fleet.importers.search import find_sources
from argosy.fleet.load import read_fleet
from argosy.fleet.spec import Fleet
from argosy.refit.claims.answer import Spot


class Member(msgspec.Struct, frozen=True):
    """One agent. script: its path in the tree, empty for a command. needs: names of agents."""

    name: str
    machine: str
    spot: Spot
    script: str
    needs: tuple[str, ...]
    is_required: bool


class PortUse(msgspec.Struct, frozen=True):
    """A port that a row of a file names. by: whose it is, with the key."""

    machine: str
    port: int
    by: str
    spot: Spot


class FleetFacts(msgspec.Struct, frozen=True, dict=True):
    """A fleet as it is stated. rows: how many entries its files have; one agent may have two.

    edges: as stated, each once, also those that lead to nothing. fleet: None unless one fleet file tells it.
    """

    members: tuple[Member, ...]
    rows: int
    edges: tuple[tuple[str, str, Spot], ...]
    ports: tuple[PortUse, ...]
    fleet: Fleet | None

    @cached_property
    def graph(self) -> Graph:
        """Who needs whom, among the agents that there are."""
        return graph_of({member.name: member.needs for member in self.members})

    @property
    def scripts(self) -> tuple[str, ...]:
        """The scripts that agents run, each once."""
        return tuple(dict.fromkeys(member.script for member in self.members if member.script))

    def member(self, name: str) -> Member | None:
        """Return the agent of a name."""
        return next((member for member in self.members if member.name == name), None)


def read_fleet_facts(root: str, paths: Sequence[str]) -> FleetFacts:
    """Return the fleet that files in the tree state.

    root: real and absolute. paths: relative to it: one fleet file, or what `argosy import` reads.
    Raises InputError: a file is missing, or cannot be understood.
    """
    whole = [Path(root, path) for path in paths]
    if len(whole) == 1 and whole[0].is_file() and _is_fleet_file(whole[0]):
        fleet, faults = read_fleet(whole[0])
        if fleet is None:
            raise InputError(*faults)
        return _of_fleet(root, fleet)
    return _of_sources(root, whole)


def _is_fleet_file(path: Path) -> bool:
    try:
        find_sources((path,))
    except InputError as error:
        return error.faults[0].code == "fleet-file"
    return False


def _of_fleet(root: str, fleet: Fleet) -> FleetFacts:
    folder = os.path.dirname(fleet.path)
    members = tuple(
        Member(
            name,
            agent.machine or "",
            _spot(root, agent.where, name),
            _script(root, folder, agent.run),
            tuple(need.agent for need in agent.needs),
            agent.required,
        )
        for name, agent in fleet.agents.items()
    )
    edges = tuple(
        (
            name,
            need.agent,
            _spot(
                root, fleet.places.get(f"agents.{name}.needs.{at}", agent.where), f"{name} -> {need.agent}"
            ),
        )
        for name, agent in fleet.agents.items()
        for at, need in enumerate(agent.needs)
    )
    ports = tuple(
        PortUse(agent.machine or "", port, f"{name}.{key}", _spot(root, agent.where, name))
        for name, agent in fleet.agents.items()
        for key, port in (("port", agent.port), ("health_port", agent.health_port))
        if port is not None
    )
    return FleetFacts(members, len(members), tuple(edges), ports, fleet)


def _of_sources(root: str, paths: Sequence[Path]) -> FleetFacts:
    plan = plan_import(paths, Path(root))
    sources = find_sources(tuple(paths)).sources
    alike: dict[str, list[tuple[str, str]]] = {}
    for agent in plan.agents:
        alike.setdefault(agent.found.name, []).append((agent.machine, agent.name))
    members, edges = [], []
    for agent in plan.agents:
        needs: list[str] = []
        for edge in {item.to: item for item in agent.found.edges if item.kind == "need"}.values():
            edges.append((agent.name, edge.to, _spot(root, edge.where, f"{agent.name} -> {edge.to}")))
            needs += _targets(alike.get(edge.to, []), agent.machine)
        members.append(
            Member(
                agent.name,
                agent.machine,
                _spot(root, agent.found.where, agent.name),
                _script(root, root, agent.found.run),
                tuple(dict.fromkeys(needs)),
                agent.found.required,
            )
        )
    ports = [
        PortUse(str(source.path), port, by, _spot(root, where, by))
        for source in sources
        for port, by, where in _ports_of_rows(source)
    ]
    rows = sum(len(source.agents) for source in sources)
    return FleetFacts(tuple(members), rows, tuple(edges), tuple(ports), None)


def _ports_of_rows(source: Source) -> Iterator[tuple[int, str, str]]:
    for agent in source.agents:
        for key, port in (("port", agent.port), ("health_port", agent.health_port)):
            if port is not None:
                yield port, f"{agent.name}.{key}", agent.where
    for item in source.named_ports:
        yield item.port, item.key, item.where


def _targets(alike: Sequence[tuple[str, str]], machine: str) -> list[str]:
    """Return the agent of a name: the one of the same machine, else the only one."""
    here = [name for where, name in alike if where == machine]
    return here or ([alike[0][1]] if len(alike) == 1 else [])


def _script(root: str, folder: str, run: str | tuple[str, ...]) -> str:
    if isinstance(run, tuple):
        script = script_of(run) or ""
    else:
        script = run if run.endswith(".py") else run.partition(":")[0].replace(".", "/") + ".py"
    return _relative(root, os.path.join(folder, script)) if script else ""


def _spot(root: str, where: str, symbol: str) -> Spot:
    """Return a place that the fleet's readers tell as `file:line:column`, as seen from here."""
    path, *numbers = where.rsplit(":", 2)
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
        return Spot(_relative(root, where), symbol=symbol)
    return Spot(_relative(root, path), int(numbers[0]), int(numbers[1]), symbol)


def _relative(root: str, path: str) -> str:
    return os.path.relpath(os.path.realpath(path), root).replace(os.sep, "/")


def twice_used(facts: FleetFacts) -> Mapping[tuple[str, int], Sequence[PortUse]]:
    """Return the ports of a machine that more than one row names."""
    found: dict[tuple[str, int], list[PortUse]] = {}
    for use in facts.ports:
        found.setdefault((use.machine, use.port), []).append(use)
    return {key: uses for key, uses in found.items() if len(uses) > 1}
