"""The fleets of this user on this machine: those with a state folder, and those that only /proc knows.

What is meant is what keeps its state in one place, `$XDG_STATE_HOME/argosy`; `homes_elsewhere` tells
where else this user's fleets have theirs.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from argosy.engine.filemark import FileMark, mark_of
from argosy.engine.folder import (
    Folder,
    folder_of,
    folder_of_state,
    own_folders,
    runtime_bases,
    state_home,
)
from argosy.engine.remains import living_agents
from argosy.engine.traces import Trace, traces_in_proc, working_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FILE = "fleet.yaml"


class KnownFleet(NamedTuple):
    """A fleet that has been run. path: its fleet file when it was applied, None where nobody knows."""

    name: str
    path: Path | None
    environment: str
    folder: Folder
    mark: FileMark | None = None

    @property
    def id(self) -> str:
        """The name of its state folder, which no other fleet has."""
        return self.folder.state.name

    @property
    def is_file_there(self) -> bool:
        """Whether its fleet file is where it was."""
        return self.path is not None and self.path.exists()


class _Plan(msgspec.Struct):
    fleet: str
    path: str
    environment: str


class _Applied(msgspec.Struct):
    """What is read of a roster: the rest may be long."""

    plan: _Plan
    mark: FileMark | None = None


def recorded_fleets(variables: Mapping[str, str]) -> list[KnownFleet]:
    """Return the fleets that have a state folder, by their names; reads files only, a small part of each."""
    states = own_folders(state_home(variables))
    found = [fleet for state in states if (fleet := recorded_fleet(state, variables)) is not None]
    return sorted(found, key=_order)


def known_fleets(variables: Mapping[str, str], traces: Iterable[Trace] | None = None) -> list[KnownFleet]:
    """Return the fleets that have a state folder, and those that run without one, by their names.

    traces: what /proc shows, where that was looked at already.
    """
    found = {os.path.realpath(fleet.folder.state): fleet for fleet in recorded_fleets(variables)}
    home = state_home(variables)
    for trace in traces_in_proc() if traces is None else traces:
        place = os.path.realpath(trace.state)
        known = found.get(place)
        if os.path.dirname(place) == os.path.realpath(home) and (known is None or known.path is None):
            found[place] = _of_trace(trace, home / trace.state.name, known, variables)
    return sorted(found.values(), key=_order)


def homes_elsewhere(variables: Mapping[str, str], traces: Iterable[Trace]) -> dict[Path, set[str]]:
    """Return where else running fleets of this user keep their state, with their names.

    The folders are what XDG_STATE_HOME is for them.
    """
    here = os.path.realpath(state_home(variables))
    found: dict[Path, set[str]] = {}
    for trace in traces:
        if os.path.realpath(trace.state.parent) != here:
            found.setdefault(trace.state.parent.parent, set()).add(trace.fleet)
    return found


def runs(folder: Folder) -> bool:
    """Return whether a fleet has a supervisor or living agents."""
    return is_supervised(folder) or bool(living_agents(folder))


def is_supervised(folder: Folder) -> bool:
    """Return whether somebody holds the supervisor's lock."""
    try:
        lock = os.open(folder.lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def moved_from(path: Path, variables: Mapping[str, str]) -> KnownFleet | None:
    """Return the running fleet that a fleet file was before it was moved here, None when it was none.

    Its file is gone from where it was, and this one has its content or its place on the disk and its
    name, or is in the folder that one of its agents works in.
    """
    own, mark = folder_of(path, variables).state, mark_of(path)
    for fleet in recorded_fleets(variables):
        if fleet.folder.state == own or fleet.is_file_there or not runs(fleet.folder):
            continue
        if _is_same(fleet, path, mark):
            return fleet
    return None


def moved_to(fleet: KnownFleet) -> Path | None:
    """Return where the file of a running fleet is now, None when it is where it was or nobody knows."""
    if fleet.is_file_there:
        return None
    for identity in living_agents(fleet.folder).values():
        found = working_folder(identity.pid)
        if found is None or found[1]:
            continue
        for folder in (found[0], *found[0].parents):
            file = folder / (fleet.path.name if fleet.path else FILE)
            mark = mark_of(file)
            if mark and fleet.mark and (mark.has_inode_of(fleet.mark) or mark.digest == fleet.mark.digest):
                return file
    return None


def _is_same(fleet: KnownFleet, path: Path, mark: FileMark | None) -> bool:
    if mark and fleet.mark and mark.digest == fleet.mark.digest:
        return True
    if mark and fleet.mark and mark.has_inode_of(fleet.mark) and _name_in(path) == fleet.name:
        return True
    folders = filter(None, (working_folder(each.pid) for each in living_agents(fleet.folder).values()))
    here = path.parent.resolve()
    return any(folder == here and not is_deleted for folder, is_deleted in folders)


def _name_in(path: Path) -> str:
    """Return the name that a fleet file gives its fleet, empty where it cannot be read."""
    from argosy.fleet.load import read_fleet  # noqa: PLC0415 - loads YAML, for who has moved a fleet

    fleet, _ = read_fleet(path)
    return fleet.name if fleet else ""


def _order(fleet: KnownFleet) -> tuple[str, str]:
    return fleet.name, fleet.id


def recorded_fleet(state: Path, variables: Mapping[str, str] | None = None) -> KnownFleet | None:
    """Return the fleet of a state folder, None where that tells of none and nothing runs."""
    variables = os.environ if variables is None else variables
    folder = _folder_at(state, variables)
    try:
        applied = msgspec.json.decode(folder.applied.read_bytes(), type=_Applied)
    except (OSError, msgspec.DecodeError):
        return KnownFleet(state.name.rpartition("-")[0], None, "", folder) if runs(folder) else None
    plan = applied.plan
    return KnownFleet(plan.fleet, Path(plan.path), plan.environment, folder, applied.mark)


def _folder_at(state: Path, variables: Mapping[str, str]) -> Folder:
    """Return both folders of a fleet that may have been started with another XDG_RUNTIME_DIR."""
    here = folder_of_state(state, variables)
    if here.control.exists():
        return here
    others = [Folder(state, base / here.runtime.name) for base in runtime_bases(variables)]
    return next((each for each in others if each.control.exists()), here)


def _of_trace(
    trace: Trace, state: Path, known: KnownFleet | None, variables: Mapping[str, str]
) -> KnownFleet:
    """Return a fleet whose state folder is gone or tells nothing, as a process of it shows it."""
    folder = known.folder if known else _folder_at(state, variables)
    if trace.runtime is not None:
        folder = Folder(state, trace.runtime)
    found = working_folder(trace.pid)
    file = found[0] / FILE if found else None
    is_it = file is not None and folder_of(file, variables).state.name == state.name
    environment = trace.environment or (known.environment if known else "")
    return KnownFleet(trace.fleet, file if is_it else None, environment, folder)
