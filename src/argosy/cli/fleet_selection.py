"""Selects the fleet for commands that need no fleet file: by path, name or state folder.

A fleet file may be moved or deleted while its fleet runs; the state folder and the processes remain.
"""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from argosy.cli.arguments import FLEET_FILE, find_fleet, looks_like_fleet, split_fleet
from argosy.cli.console import print_note
from argosy.engine.inventory.fleet_processes import scan_fleet_processes
from argosy.engine.inventory.known_fleets import (
    KnownFleet,
    find_moved_fleet,
    find_other_state_homes,
    is_running,
    list_known_fleets,
    list_recorded_fleets,
)
from argosy.engine.state.state_dir import StateDir, locate_state_dir
from argosy.fault import Fault, InputError


class SelectedFleet(NamedTuple):
    """The selected fleet. path: its fleet file, which may be missing. name: its name for messages."""

    path: Path
    name: str
    state_dir: StateDir


def select_fleet(args: argparse.Namespace) -> tuple[SelectedFleet, list[str]]:
    """Return the fleet that the arguments select, and the other positionals.

    Raises InputError: there is no such fleet, several have the name, or a positional is unexpected.
    """
    name_or_path, positionals = split_fleet(args, allow_name=True)
    if name_or_path is None:
        return _fleet_at(find_fleet(None)), positionals
    if looks_like_fleet(name_or_path) or (args.fleet is not None and os.path.exists(name_or_path)):
        return _select_by_path(name_or_path), positionals
    return _select_by_name(name_or_path, args), positionals


def _fleet_at(path: Path) -> SelectedFleet:
    """Return the fleet of a file; if the file was moved while the fleet runs, the running fleet."""
    state_dir = locate_state_dir(path)
    previous = None if is_running(state_dir) else find_moved_fleet(path, os.environ)
    if previous is None:
        return SelectedFleet(path, path.parent.name, state_dir)
    message = f"fleet `{previous.name}` runs from its former path, moved or deleted since: {previous.path}"
    print_note("note", message)
    return _as_selected(previous)


def _select_by_path(path: str) -> SelectedFleet:
    """Return the fleet of a path, also if the path no longer exists."""
    try:
        return _fleet_at(find_fleet(path))
    except InputError as error:
        known = _known_fleet_at(Path(os.path.expanduser(path)).absolute())
        if known is not None and error.faults[0].code == "no-fleet":
            return _as_selected(known)
        raise


def _known_fleet_at(path: Path) -> KnownFleet | None:
    places = {os.path.normpath(path), os.path.normpath(path / FLEET_FILE)}
    states = {locate_state_dir(place).path for place in places}
    for fleet in list_known_fleets(os.environ):
        if fleet.state_dir.path in states or (fleet.path and os.path.normpath(fleet.path) in places):
            return fleet
    return None


def _select_by_name(name: str, args: argparse.Namespace) -> SelectedFleet:
    """Return the fleet with this name; a folder of that name with a fleet file counts too."""
    fleets = _fleets_called(name, list_recorded_fleets(os.environ)) or _fleets_called(
        name, list_known_fleets(os.environ)
    )
    in_working_directory = (
        [_fleet_at(find_fleet(name))] if os.path.isfile(os.path.join(name, FLEET_FILE)) else []
    )
    running = [fleet for fleet in fleets if len(fleets) > 1 and is_running(fleet.state_dir)]
    found = {
        each.state_dir.path: each for each in (*map(_as_selected, running or fleets), *in_working_directory)
    }
    if not found:
        raise InputError(_unknown_fleet(name, args))
    if len(found) > 1:
        raise InputError(_ambiguous(name, list(found.values()), args))
    return next(iter(found.values()))


def _fleets_called(name: str, fleets: Sequence[KnownFleet]) -> list[KnownFleet]:
    """Return the fleets with this name, else with this ID, else in a folder with this name."""
    return (
        [fleet for fleet in fleets if fleet.name == name]
        or [fleet for fleet in fleets if fleet.id == name]
        or [fleet for fleet in fleets if fleet.path and fleet.path.parent.name == name]
    )


def _as_selected(fleet: KnownFleet) -> SelectedFleet:
    return SelectedFleet(fleet.path or fleet.state_dir.path / FLEET_FILE, fleet.name, fleet.state_dir)


def _ambiguous(name: str, found: Sequence[SelectedFleet], args: argparse.Namespace) -> Fault:
    each = ", ".join(f"`{fleet.state_dir.path.name}` ({fleet.path})" for fleet in found)
    hint = f"`argosy {args.command} {found[0].state_dir.path.name}`; `argosy ls` shows all"
    return Fault(name, "ambiguous", f"{len(found)} fleets have the name `{name}`: {each}", hint)


def _unknown_fleet(name: str, args: argparse.Namespace) -> Fault:
    message = f"there is no fleet `{name}`: no folder here and no fleet on record has that name"
    traces = list(scan_fleet_processes())
    for state_home, names_there in find_other_state_homes(os.environ, traces).items():
        if name in names_there:
            return Fault(
                name, "no-fleet", message, f"`XDG_STATE_HOME={state_home} argosy {args.command} {name}`"
            )
    names = [fleet.name for fleet in list_known_fleets(os.environ, traces)]
    closest = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean `{closest[0]}`?" if closest else "`argosy ls` lists the fleets"
    return Fault(name, "no-fleet", message, hint)
