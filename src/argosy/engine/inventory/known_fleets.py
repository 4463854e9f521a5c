"""The fleets of this user on this machine: those with a state directory, and those found only in /proc.

Covers the fleets with their state in `$XDG_STATE_HOME/argosy`; `find_other_state_homes` returns the other
directories in which running fleets of this user keep their state.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from argosy.engine.inventory.fleet_processes import FleetProcess, scan_fleet_processes, working_directory
from argosy.engine.inventory.leftover_processes import running_agents
from argosy.engine.state.file_identity import FileIdentity, identify_file
from argosy.engine.state.state_dir import (
    StateDir,
    list_own_directories,
    locate_state_dir,
    runtime_bases,
    state_dir_at,
    state_home,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FLEET_FILE_NAME = "fleet.yaml"


class KnownFleet(NamedTuple):
    """A fleet that has been run. path: its fleet file when it was applied, None if unknown."""

    name: str
    path: Path | None
    environment: str
    state_dir: StateDir
    file_identity: FileIdentity | None = None

    @property
    def id(self) -> str:
        """The name of its state directory, which is unique."""
        return self.state_dir.path.name

    @property
    def has_fleet_file(self) -> bool:
        """Whether its fleet file still exists at its path."""
        return self.path is not None and self.path.exists()


class _PlanHeader(msgspec.Struct):
    fleet: str
    path: str
    environment: str


class _AppliedHeader(msgspec.Struct):
    """The part of an applied plan that is read here. mark: `fleet_file` as earlier versions wrote it."""

    plan: _PlanHeader
    fleet_file: FileIdentity | None = None
    mark: FileIdentity | None = None


def list_recorded_fleets(variables: Mapping[str, str]) -> list[KnownFleet]:
    """Return the fleets that have a state directory, sorted by name; reads a small part of each plan."""
    states = list_own_directories(state_home(variables))
    found = [fleet for state in states if (fleet := read_recorded_fleet(state, variables)) is not None]
    return sorted(found, key=_sort_key)


def list_known_fleets(
    variables: Mapping[str, str], processes: Iterable[FleetProcess] | None = None
) -> list[KnownFleet]:
    """Return the fleets that have a state directory, and those that run without one, sorted by name.

    processes: the result of `scan_fleet_processes`, if it was called already.
    """
    found = {os.path.realpath(fleet.state_dir.path): fleet for fleet in list_recorded_fleets(variables)}
    home = state_home(variables)
    for fleet_process in scan_fleet_processes() if processes is None else processes:
        resolved = os.path.realpath(fleet_process.state_path)
        known = found.get(resolved)
        if os.path.dirname(resolved) == os.path.realpath(home) and (known is None or known.path is None):
            found[resolved] = _fleet_of_process(
                fleet_process, home / fleet_process.state_path.name, known, variables
            )
    return sorted(found.values(), key=_sort_key)


def find_other_state_homes(
    variables: Mapping[str, str], processes: Iterable[FleetProcess]
) -> dict[Path, set[str]]:
    """Return where else running fleets of this user keep their state, with the fleets' names.

    The directories are the fleets' values of XDG_STATE_HOME.
    """
    here = os.path.realpath(state_home(variables))
    found: dict[Path, set[str]] = {}
    for fleet_process in processes:
        if os.path.realpath(fleet_process.state_path.parent) != here:
            found.setdefault(fleet_process.state_path.parent.parent, set()).add(fleet_process.fleet)
    return found


def is_running(state_dir: StateDir) -> bool:
    """Return whether a fleet has a supervisor or running agents."""
    return has_supervisor(state_dir) or bool(running_agents(state_dir))


def has_supervisor(state_dir: StateDir) -> bool:
    """Return whether a process holds the supervisor's lock."""
    try:
        lock = os.open(state_dir.supervisor_lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def find_moved_fleet(path: Path, variables: Mapping[str, str]) -> KnownFleet | None:
    """Return the running fleet to which a fleet file belonged before it was moved to `path`, or None.

    The fleet's own file is gone, and this one has its content, or its inode and its fleet name, or is in
    the working directory of one of its agents.
    """
    own, file_identity = locate_state_dir(path, variables).path, identify_file(path)
    for fleet in list_recorded_fleets(variables):
        if fleet.state_dir.path == own or fleet.has_fleet_file or not is_running(fleet.state_dir):
            continue
        if _is_same_fleet(fleet, path, file_identity):
            return fleet
    return None


def find_moved_file(fleet: KnownFleet) -> Path | None:
    """Return where the file of a running fleet was moved to, None if it was not moved or is not found."""
    if fleet.has_fleet_file:
        return None
    for identity in running_agents(fleet.state_dir).values():
        found = working_directory(identity.pid)
        if found is None or found[1]:
            continue
        for directory in (found[0], *found[0].parents):
            file = directory / (fleet.path.name if fleet.path else FLEET_FILE_NAME)
            file_identity = identify_file(file)
            if (
                file_identity
                and fleet.file_identity
                and (
                    file_identity.has_same_inode(fleet.file_identity)
                    or file_identity.digest == fleet.file_identity.digest
                )
            ):
                return file
    return None


def _is_same_fleet(fleet: KnownFleet, path: Path, file_identity: FileIdentity | None) -> bool:
    if file_identity and fleet.file_identity and file_identity.digest == fleet.file_identity.digest:
        return True
    if (
        file_identity
        and fleet.file_identity
        and file_identity.has_same_inode(fleet.file_identity)
        and _read_fleet_name(path) == fleet.name
    ):
        return True
    working_dirs = filter(
        None, (working_directory(each.pid) for each in running_agents(fleet.state_dir).values())
    )
    here = path.parent.resolve()
    return any(directory == here and not is_deleted for directory, is_deleted in working_dirs)


def _read_fleet_name(path: Path) -> str:
    """Return the name of the fleet in a fleet file, empty if it cannot be read."""
    from argosy.fleet.loader import read_fleet  # noqa: PLC0415 - loads YAML, needed for moved fleets only

    fleet, _ = read_fleet(path)
    return fleet.name if fleet else ""


def _sort_key(fleet: KnownFleet) -> tuple[str, str]:
    return fleet.name, fleet.id


def read_recorded_fleet(state: Path, variables: Mapping[str, str] | None = None) -> KnownFleet | None:
    """Return the fleet of a state directory, None if it has no applied plan and nothing runs."""
    variables = os.environ if variables is None else variables
    state_dir = _state_dir_in_use(state, variables)
    try:
        applied = msgspec.json.decode(state_dir.applied_plan.read_bytes(), type=_AppliedHeader)
    except (OSError, msgspec.DecodeError):
        return (
            KnownFleet(state.name.rpartition("-")[0], None, "", state_dir) if is_running(state_dir) else None
        )
    plan = applied.plan
    fleet_file = applied.fleet_file or applied.mark
    return KnownFleet(plan.fleet, Path(plan.path), plan.environment, state_dir, fleet_file)


def _state_dir_in_use(state: Path, variables: Mapping[str, str]) -> StateDir:
    """Return both directories of a fleet that may have been started with another XDG_RUNTIME_DIR."""
    here = state_dir_at(state, variables)
    if here.control_socket.exists():
        return here
    others = [StateDir(state, base / here.runtime_path.name) for base in runtime_bases(variables)]
    return next((each for each in others if each.control_socket.exists()), here)


def _fleet_of_process(
    fleet_process: FleetProcess, state: Path, known: KnownFleet | None, variables: Mapping[str, str]
) -> KnownFleet:
    """Return a fleet whose state directory is gone or has no plan, from one of its processes."""
    state_dir = known.state_dir if known else _state_dir_in_use(state, variables)
    if fleet_process.runtime_path is not None:
        state_dir = StateDir(state, fleet_process.runtime_path)
    found = working_directory(fleet_process.pid)
    file = found[0] / FLEET_FILE_NAME if found else None
    is_it = file is not None and locate_state_dir(file, variables).path.name == state.name
    environment = fleet_process.environment or (known.environment if known else "")
    return KnownFleet(fleet_process.fleet, file if is_it else None, environment, state_dir)
