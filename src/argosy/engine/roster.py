"""The roster: the plan that was applied last, for the next supervisor; and the book, for the agents."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from argosy.agent.roll import Roll, read_roll
from argosy.engine.cellplan import cell_of
from argosy.engine.filemark import FileMark
from argosy.engine.linkplan import LinkPlan
from argosy.engine.plan import Plan, ProcessSpec
from argosy.fault import ArgosyError
from argosy.fleet.spec import Probe
from argosy.wire.book import Book, Entry, write_book
from argosy.wire.keys import folder_in_use
from argosy.wire.wholefile import holds

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from argosy.engine.folder import Folder
    from argosy.fleet.placement import Placement
    from argosy.fleet.spec import Fleet


class Roster(msgspec.Struct, frozen=True):
    """What a supervisor ran; machines: those that this host is; links: to the others, None without.

    leaving: processes that the plan has no more, which ran when it was written; hulls: of cells that
    ran then. mark: of the fleet file, None where it could not be read.
    """

    plan: Plan
    machines: list[str]
    leaving: dict[str, ProcessSpec] = {}
    hulls: dict[str, ProcessSpec] = {}
    links: LinkPlan | None = None
    mark: FileMark | None = None


def draft_roster(folder: Folder, roster: Roster) -> Path | None:
    """Write the roster beside the one in force, readable by its owner alone; return the path to rename.

    None when the one in force is the same. Environments may hold secrets. Raises OSError: the disk is full.
    """
    data = msgspec.json.encode(roster)
    if holds(folder.applied, data):
        return None
    beside = folder.applied.with_suffix(".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    return beside


def read_roster(folder: Folder) -> Roster | None:
    """Return the roster, or None when there is none that can be read."""
    try:
        return msgspec.json.decode(folder.applied.read_bytes(), type=Roster)
    except (OSError, msgspec.DecodeError):
        return None


class Lost(NamedTuple):
    """What runs and is in no roster: agents by name, and the processes of cells by cell."""

    agents: dict[str, ProcessSpec]
    hulls: dict[str, ProcessSpec]


def lost_specs(folder: Folder, names: Iterable[str]) -> Lost:
    """Return what is known of processes that run and are in no roster: they can be stopped, not started.

    Of a cell, the agents are those of its roll, where there is one; whoever of them has ended says so.
    """
    found = Lost({}, {})
    for name in names:
        cell = cell_of(name)
        roll = _roll_of(folder, cell) if cell is not None else None
        if cell is None or roll is None:
            found.agents[name] = _lost_spec(name)
            continue
        found.hulls[cell] = _lost_spec(name)
        found.agents.update((agent, _lost_spec(agent, cell)) for agent in roll.seats)
    return found


def _roll_of(folder: Folder, cell: str) -> Roll | None:
    try:
        return read_roll(folder.roll(cell))
    except ArgosyError:
        return None


def _lost_spec(agent: str, cell: str | None = None) -> ProcessSpec:
    return ProcessSpec(
        name=agent,
        argv=(),
        env={},
        cwd="/",
        is_sdk=False,
        machine=None,
        group=None,
        ports=(),
        host="127.0.0.1",
        port=None,
        probe=Probe(probe="alive", seconds=0.0),
        probe_port=None,
        needs=(),
        wants=(),
        required=False,
        watchdog_s=None,
        start_timeout_s=60.0,
        stop_timeout_s=10.0,
        restart="never",
        restart_times=0,
        restart_within_s=1.0,
        backoff_first_s=0.0,
        backoff_most_s=0.0,
        open_files=0,
        cell=cell,
        refusal="nothing is left of what it was started by; `argosy up` knows it",
    )


def write_book_of(folder: Folder, fleet: Fleet, placement: Placement, machines: Iterable[str]) -> None:
    """Write the addresses of all agents for the agents of this machine.

    An agent of the library needs no port to be reached on its own machine; a script does.
    """
    entries = {}
    for agent in fleet.agents.values():
        if agent.port is None and agent.kind != "class":
            continue
        endpoint = placement.connect(agent.name) if agent.port is not None else None
        entries[agent.name] = Entry(
            machine=agent.machine or "",
            host=endpoint.host if endpoint else "",
            bind=placement.bind(agent.name),
            port=endpoint.port if endpoint else None,
            health_port=agent.health_port,
            idempotent=agent.idempotent,
            needs=tuple(need.agent for need in agent.needs),
            wants=agent.wants,
        )
    write_book(
        folder.book,
        Book(
            fleet=fleet.name,
            environment=placement.environment,
            machines=tuple(machines),
            runtime=str(folder.runtime),
            keys=folder_in_use(fleet.name, placement.lookup.variables) if fleet.machines else "",
            agents=entries,
            hubs=_hubs_of(fleet, placement, tuple(machines)),
        ),
    )


def _hubs_of(fleet: Fleet, placement: Placement, here: tuple[str, ...]) -> dict[str, Entry]:
    """Return where each machine's hub is; machines that are one host have one hub, the first's."""
    port = fleet.hub.port + 1  # beside the page
    own = here[0] if here else ""
    elsewhere = [machine for machine in placement.machines() if machine not in here]
    if not elsewhere:  # nobody afar asks it: two fleets on one host need no port each
        return {own: Entry(own)}
    hubs = {}
    for machine in (own, *elsewhere):
        host = placement.address_of(machine)
        hubs[machine] = Entry(machine, host=host, bind=host, port=port)
    return hubs
