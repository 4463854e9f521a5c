"""List this user's fleets on this machine: what runs, from which file, and whether the file exists.

Needs no fleet file. Lists the fleets whose state is in `$XDG_STATE_HOME/argosy`, and finds running ones
by their leases and in /proc, also if the supervisor is dead, or the fleet's folder or state folder was
moved or deleted. A supervisor that does not answer delays the list by 2 s at most.

example: argosy ls --json

"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from argosy.cli.arguments import add_json
from argosy.cli.commands.status import format_duration, report_unsupervised
from argosy.cli.console import align_columns, paint, print_json, print_note
from argosy.engine.explain.fleet_overview import FleetOverview, survey_fleets
from argosy.engine.inventory.fleet_processes import scan_fleet_processes
from argosy.engine.inventory.known_fleets import find_moved_file, find_other_state_homes
from argosy.engine.protocol.state_machine import READY_STATES
from argosy.engine.state.state_dir import state_home

FleetState = Literal["running", "silent", "unsupervised", "stopped"]
FleetFileState = Literal["there", "moved", "gone", "unknown"]

_REPLY_TIMEOUT_S: Final = 2.0
_STATE_ORDER: Final[tuple[FleetState, ...]] = ("silent", "unsupervised", "running", "stopped")
_COLOURS: Final = {"running": "green", "silent": "red", "unsupervised": "yellow", "stopped": "dim"}
_HEADER: Final = ("FLEET", "STATE", "READY", "SUPERVISOR", "SINCE", "ENVIRONMENT", "ID", "FILE")


class FleetRow(NamedTuple):
    """One listed fleet. file_state: whether its fleet file exists; moved_to: where a moved one is now."""

    glance: FleetOverview
    state: FleetState
    file_state: FleetFileState
    moved_to: Path | None
    running: int
    ready: int
    declared: int
    environment: str


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy ls`."""
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """List the fleets; returns 0."""
    variables, traces = os.environ, list(scan_fleet_processes())
    rows = [_fleet_row(seen) for seen in survey_fleets(variables, traces, _REPLY_TIMEOUT_S)]
    rows.sort(key=lambda row: (_STATE_ORDER.index(row.state) == len(_STATE_ORDER) - 1, row.glance.fleet.name))
    elsewhere = find_other_state_homes(variables, traces)
    if args.as_json:
        elsewhere_json = {str(home): sorted(names) for home, names in elsewhere.items()}
        print_json({"argosy": "ls/1", "fleets": list(map(_json, rows)), "elsewhere": elsewhere_json})
        return 0
    _show(rows, state_home(variables))
    for other_home, names in elsewhere.items():
        print(f"elsewhere: {', '.join(sorted(names))}; `XDG_STATE_HOME={other_home} argosy ls` shows more")
    return 0


def _fleet_row(glance: FleetOverview) -> FleetRow:
    fleet = glance.fleet
    report = glance.report or report_unsupervised(fleet.state_dir, fleet.name)
    running = report.running()
    ready = sum(report.agents[name].state in READY_STATES for name in running)
    moved = find_moved_file(fleet) if running else None
    file_state: FleetFileState = (
        "unknown" if fleet.path is None else "there" if fleet.has_fleet_file else "gone"
    )
    return FleetRow(
        glance,
        _fleet_state(glance, is_running=bool(running)),
        "moved" if moved else file_state,
        moved,
        len(running),
        ready,
        len(report.agents),
        report.environment or fleet.environment,
    )


def _fleet_state(glance: FleetOverview, *, is_running: bool) -> FleetState:
    if glance.supervisor is not None:
        return "running" if glance.report is not None else "silent"
    return "unsupervised" if is_running else "stopped"


def _json(row: FleetRow) -> dict[str, object]:
    fleet, supervisor = row.glance.fleet, row.glance.supervisor
    return {
        "fleet": fleet.name,
        "id": fleet.id,
        "state": row.state,
        "path": str(fleet.path) if fleet.path else None,
        "file": row.file_state,
        "moved_to": str(row.moved_to) if row.moved_to else None,
        "supervisor": {"pid": supervisor.pid, "started": supervisor.started_s} if supervisor else None,
        "agents": {"running": row.running, "ready": row.ready, "declared": row.declared},
        "environment": row.environment,
        "folder": str(fleet.state_dir.path),
        "note": row.glance.problem,
    }


def _show(rows: Sequence[FleetRow], state_home: Path) -> None:
    if not rows:
        print(f"no fleet has its state in {state_home}")
        return
    header, *lines = align_columns([_HEADER, *map(_cells_of, rows)])
    print(paint(header, "bold"))
    for row, line in zip(rows, lines, strict=True):
        print(line.replace(row.state, paint(row.state, _COLOURS[row.state]), 1))
    for row in rows:
        if row.glance.problem:
            print_note("warning", f"{row.glance.fleet.name}: {row.glance.problem}", stream=sys.stdout)
    print(f"state folders: {state_home}/ID")
    if names := _fleets_without_file(rows):
        text = f"`argosy down {names[0]}` stops a fleet whose file was moved or deleted"
        print_note("hint", text, stream=sys.stdout)


def _fleets_without_file(rows: Iterable[FleetRow]) -> list[str]:
    """Return the name or ID of each running fleet whose file is not at its former path."""
    names = [row.glance.fleet.name for row in rows if row.state != "stopped"]
    without_file = (row.glance.fleet for row in rows if row.state != "stopped" and row.file_state != "there")
    return [fleet.name if names.count(fleet.name) == 1 else fleet.id for fleet in without_file]


def _cells_of(row: FleetRow) -> tuple[str, ...]:
    fleet, supervisor = row.glance.fleet, row.glance.supervisor
    is_up = row.state != "stopped"
    since = (
        format_duration(time.time() - supervisor.started_s) if supervisor and supervisor.started_s else "-"
    )
    pid = f"pid {supervisor.pid or '?'}" if supervisor else "-"
    ready = f"{row.ready} of {row.declared}" if is_up else "-"
    return fleet.name, row.state, ready, pid, since, row.environment or "-", fleet.id, _file_cell(row)


def _file_cell(row: FleetRow) -> str:
    notes: Mapping[FleetFileState, str] = {
        "there": "",
        "moved": f" (moved to {row.moved_to})",
        "gone": " (gone)",
    }
    return f"{row.glance.fleet.path or 'unknown'}{notes.get(row.file_state, '')}"
