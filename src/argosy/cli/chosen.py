"""Which fleet is meant by a verb that needs no fleet file: by path, by name, or by state folder.

A fleet file may be moved or deleted while its fleet runs; the state folder, and what runs, remain.
"""

from __future__ import annotations

import difflib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from argosy.cli.arguments import FLEET_FILE, find_fleet, looks_like_fleet, split_fleet
from argosy.cli.report import paint
from argosy.engine.folder import Folder, folder_of
from argosy.engine.known import homes_elsewhere, known_fleets, moved_from, recorded_fleets, runs
from argosy.engine.traces import traces_in_proc
from argosy.fault import Fault, InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from argosy.engine.known import KnownFleet


class Chosen(NamedTuple):
    """The fleet that is meant. path: its fleet file, which may be gone. name: what to call it."""

    path: Path
    name: str
    folder: Folder


def take_chosen(args: argparse.Namespace) -> tuple[Chosen, list[str]]:
    """Return the fleet that the arguments name, and the words that are left.

    Raises InputError: no such fleet, several of one name, or a word that the verb does not take.
    """
    word, words = split_fleet(args, takes_name=True)
    if word is None:
        return _at(find_fleet(None)), words
    if looks_like_fleet(word) or (args.fleet is not None and os.path.exists(word)):
        return _by_path(word), words
    return _by_name(word, args), words


def _at(path: Path) -> Chosen:
    """Return the fleet of a file: what runs from where the file was before it was moved, if that does."""
    folder = folder_of(path)
    before = None if runs(folder) else moved_from(path, os.environ)
    if before is None:
        return Chosen(path, path.parent.name, folder)
    words = f"fleet `{before.name}` runs from where it was before: {before.path}, moved or deleted"
    sys.stderr.write(f"{paint('note:', 'cyan', sys.stderr)} {words}\n")
    return _of(before)


def _by_path(word: str) -> Chosen:
    """Return the fleet of a path, also of one that is gone."""
    try:
        return _at(find_fleet(word))
    except InputError as error:
        known = _recorded_at(Path(os.path.expanduser(word)).absolute())
        if known is not None and error.faults[0].code == "no-fleet":
            return _of(known)
        raise


def _recorded_at(path: Path) -> KnownFleet | None:
    places = {os.path.normpath(path), os.path.normpath(path / FLEET_FILE)}
    states = {folder_of(place).state for place in places}
    for fleet in known_fleets(os.environ):
        if fleet.folder.state in states or (fleet.path and os.path.normpath(fleet.path) in places):
            return fleet
    return None


def _by_name(word: str, args: argparse.Namespace) -> Chosen:
    """Return the fleet that is called so; a folder of that name that holds a fleet file is one too."""
    fleets = _called(word, recorded_fleets(os.environ)) or _called(word, known_fleets(os.environ))
    here = [_at(find_fleet(word))] if os.path.isfile(os.path.join(word, FLEET_FILE)) else []
    living = [fleet for fleet in fleets if len(fleets) > 1 and runs(fleet.folder)]
    found = {each.folder.state: each for each in (*map(_of, living or fleets), *here)}
    if not found:
        raise InputError(_unknown(word, args))
    if len(found) > 1:
        raise InputError(_ambiguous(word, list(found.values()), args))
    return next(iter(found.values()))


def _called(word: str, fleets: Sequence[KnownFleet]) -> list[KnownFleet]:
    """Return the fleets of this name; else the one of this state folder; else those of this folder."""
    return (
        [fleet for fleet in fleets if fleet.name == word]
        or [fleet for fleet in fleets if fleet.id == word]
        or [fleet for fleet in fleets if fleet.path and fleet.path.parent.name == word]
    )


def _of(fleet: KnownFleet) -> Chosen:
    return Chosen(fleet.path or fleet.folder.state / FLEET_FILE, fleet.name, fleet.folder)


def _ambiguous(word: str, found: Sequence[Chosen], args: argparse.Namespace) -> Fault:
    each = ", ".join(f"`{fleet.folder.state.name}` ({fleet.path})" for fleet in found)
    hint = f"`argosy {args.verb} {found[0].folder.state.name}`; `argosy ls` shows all"
    return Fault(word, "ambiguous", f"{len(found)} fleets are called `{word}`: {each}", hint)


def _unknown(word: str, args: argparse.Namespace) -> Fault:
    message = f"there is no fleet `{word}`: no folder of that name here, and none that has been run"
    traces = list(traces_in_proc())
    for home, theirs in homes_elsewhere(os.environ, traces).items():
        if word in theirs:
            return Fault(word, "no-fleet", message, f"`XDG_STATE_HOME={home} argosy {args.verb} {word}`")
    names = [fleet.name for fleet in known_fleets(os.environ, traces)]
    near = difflib.get_close_matches(word, names, 1)
    hint = f"did you mean `{near[0]}`?" if near else "`argosy ls` lists the fleets"
    return Fault(word, "no-fleet", message, hint)
