"""List the fleets of this user on this machine: what runs, from where, and whether its fleet file is there.

Needs no fleet file and works from anywhere. It knows the fleets whose state is in
`$XDG_STATE_HOME/argosy`, and finds what runs by its leases and in /proc: also where the supervisor is
dead, and where the fleet's folder, the state folder or both were moved or deleted. A supervisor that
does not answer delays it by 2 s at most.

example: argosy ls --json
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from argosy.cli.arguments import add_json
from argosy.cli.report import paint, print_json
from argosy.cli.status import duration, report_unsupervised
from argosy.engine.folder import state_home
from argosy.engine.glance import glance
from argosy.engine.known import homes_elsewhere, moved_to
from argosy.engine.state import READY_STATES
from argosy.engine.traces import traces_in_proc

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from argosy.engine.glance import Glance

State = Literal["running", "silent", "unsupervised", "stopped"]
Place = Literal["there", "moved", "gone", "unknown"]

_ANSWER_WITHIN_S: Final = 2.0
_ORDER: Final[tuple[State, ...]] = ("silent", "unsupervised", "running", "stopped")
_COLOURS: Final = {"running": "green", "silent": "red", "unsupervised": "yellow", "stopped": "dim"}
_HEAD: Final = ("FLEET", "STATE", "READY", "SUPERVISOR", "SINCE", "ENVIRONMENT", "ID", "FILE")


class Row(NamedTuple):
    """One fleet as it is listed. place: where its fleet file is, moved_to: where it is now."""

    seen: Glance
    state: State
    place: Place
    moved_to: Path | None
    running: int
    ready: int
    declared: int
    environment: str


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy ls`."""
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """List them; returns 0."""
    variables, traces = os.environ, list(traces_in_proc())
    rows = [_row(seen) for seen in glance(variables, traces, _ANSWER_WITHIN_S)]
    rows.sort(key=lambda row: (_ORDER.index(row.state) == len(_ORDER) - 1, row.seen.fleet.name))
    elsewhere = homes_elsewhere(variables, traces)
    if args.as_json:
        homes = {str(home): sorted(names) for home, names in elsewhere.items()}
        print_json({"argosy": "ls/1", "fleets": list(map(_json, rows)), "elsewhere": homes})
        return 0
    _show(rows, state_home(variables))
    for home, names in elsewhere.items():
        print(f"elsewhere: {', '.join(sorted(names))}; `XDG_STATE_HOME={home} argosy ls` shows more")
    return 0


def _row(seen: Glance) -> Row:
    fleet = seen.fleet
    report = seen.report or report_unsupervised(fleet.folder, fleet.name)
    running = report.running()
    ready = sum(report.agents[name].state in READY_STATES for name in running)
    moved = moved_to(fleet) if running else None
    place: Place = "unknown" if fleet.path is None else "there" if fleet.is_file_there else "gone"
    return Row(
        seen,
        _state(seen, is_running=bool(running)),
        "moved" if moved else place,
        moved,
        len(running),
        ready,
        len(report.agents),
        report.environment or fleet.environment,
    )


def _state(seen: Glance, *, is_running: bool) -> State:
    if seen.supervisor is not None:
        return "running" if seen.report is not None else "silent"
    return "unsupervised" if is_running else "stopped"


def _json(row: Row) -> dict[str, object]:
    fleet, supervisor = row.seen.fleet, row.seen.supervisor
    return {
        "fleet": fleet.name,
        "id": fleet.id,
        "state": row.state,
        "path": str(fleet.path) if fleet.path else None,
        "file": row.place,
        "moved_to": str(row.moved_to) if row.moved_to else None,
        "supervisor": {"pid": supervisor.pid, "started": supervisor.started_s} if supervisor else None,
        "agents": {"running": row.running, "ready": row.ready, "declared": row.declared},
        "environment": row.environment,
        "folder": str(fleet.folder.state),
        "note": row.seen.trouble,
    }


def _show(rows: Sequence[Row], home: Path) -> None:
    if not rows:
        print(f"no fleet has its state in {home}")
        return
    table = [_HEAD, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(_HEAD))]
    print(paint(_line(_HEAD, widths), "bold"))
    for row, cells in zip(rows, table[1:], strict=True):
        print(_line(cells, widths).replace(row.state, paint(row.state, _COLOURS[row.state]), 1))
    for row in rows:
        if row.seen.trouble:
            print(f"{paint('warning:', 'yellow')} {row.seen.fleet.name}: {row.seen.trouble}")
    print(f"state folders: {home}/ID")
    if names := _homeless(rows):
        print(
            f"{paint('hint:', 'cyan')} `argosy down {names[0]}` stops a fleet whose file was moved or deleted"
        )


def _homeless(rows: Iterable[Row]) -> list[str]:
    """Return what to call the fleets that run and whose file is not where it was."""
    names = [row.seen.fleet.name for row in rows if row.state != "stopped"]
    lost = (row.seen.fleet for row in rows if row.state != "stopped" and row.place != "there")
    return [fleet.name if names.count(fleet.name) == 1 else fleet.id for fleet in lost]


def _cells(row: Row) -> tuple[str, ...]:
    fleet, supervisor = row.seen.fleet, row.seen.supervisor
    is_up = row.state != "stopped"
    since = duration(time.time() - supervisor.started_s) if supervisor and supervisor.started_s else "-"
    pid = f"pid {supervisor.pid or '?'}" if supervisor else "-"
    ready = f"{row.ready} of {row.declared}" if is_up else "-"
    return fleet.name, row.state, ready, pid, since, row.environment or "-", fleet.id, _file(row)


def _file(row: Row) -> str:
    notes: Mapping[Place, str] = {"there": "", "moved": f" (moved to {row.moved_to})", "gone": " (gone)"}
    return f"{row.seen.fleet.path or 'unknown'}{notes.get(row.place, '')}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()
