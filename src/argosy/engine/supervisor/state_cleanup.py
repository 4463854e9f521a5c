"""Removes unused state and runtime directories of the engine from this machine.

Only files with names that the engine gives are removed, one by one; any other file stays, and so does
its directory. A fleet is left alone while its supervisor or one of its agents runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.inventory.fleet_processes import scan_fleet_processes
from argosy.engine.inventory.leftover_processes import find_leftovers, running_agents
from argosy.engine.plan.applied_plan import load_applied_plan
from argosy.engine.state.damaged_stores import DAMAGED_INFIX
from argosy.engine.state.runtime_sockets import find_cell_manifests, find_sockets, is_listening
from argosy.engine.state.state_dir import StateDir, list_own_directories, state_dir_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_STATE_STEMS = (
    "supervisor",
    "spawn",
    "event-log",
    "unit-state",
    "applied",
    "source-snapshot",
    "memory-history",
    "book",
    "forkers",
    "hub",
    # names that earlier versions gave
    "diary",
    "wills",
    "imprint",
    "appetite",
)
_BARE_NAMES = ("event-log", "unit-state", "diary", "wills")
_STATE_SUFFIXES = (".lock", ".log", ".json", ".new", ".1", ".db", ".db-wal", ".db-shm", ".token", ".html")
_LOG_SUFFIXES = (".log", ".idx", ".new")
# A younger runtime directory of an unknown fleet is not stale: a supervisor may be about to use it.
_MIN_IDLE_S = 60.0


class StaleDirectory(NamedTuple):
    """A directory to remove or removed. paths: what is removed; unknown_paths: what stays."""

    directory: Path
    reason: str
    paths: tuple[Path, ...]
    unknown_paths: tuple[Path, ...]
    size_bytes: int


class DirectoryInUse(NamedTuple):
    """A directory that is left alone, and why. fleet: the fleet that runs from it, if any."""

    directory: Path
    reason: str
    fleet: str = ""


def clean_fleet(
    state_dir: StateDir, reason: str, *, is_dry_run: bool, name: str = ""
) -> list[StaleDirectory | DirectoryInUse]:
    """Remove the state of a fleet and its sockets, unless something of it runs; return what was done.

    is_dry_run: only report. name: of the fleet. Holds the lock that prevents a start of the fleet.
    """
    with _spawn_lock_held(state_dir):
        existing = [path for path in (state_dir.path, state_dir.runtime_path) if path.is_dir()]
        if running := _describe_running(state_dir):
            return [DirectoryInUse(path, running, name) for path in existing]
        found = (_stale_directory(path, reason, _engine_files(path, state_dir)) for path in existing)
        return [each if is_dry_run else _remove_directory(each) for each in found]


def clean_unused_directories(
    state_home: Path, runtime_bases: Iterable[Path], *, is_dry_run: bool
) -> list[StaleDirectory | DirectoryInUse]:
    """Remove what no fleet of this user needs any more; return what was removed and what was left alone.

    state_home: its state directories without a fleet file are removed. runtime_bases: their runtime
    directories in which nobody listens are removed.
    """
    done: list[StaleDirectory | DirectoryInUse] = []
    for state in list_own_directories(state_home):
        state_dir = state_dir_at(state)
        applied_plan = load_applied_plan(state_dir)
        if applied_plan is not None and not os.path.exists(applied_plan.plan.path):
            reason, name = f"its fleet file `{applied_plan.plan.path}` is gone", applied_plan.plan.fleet
            done += clean_fleet(state_dir, reason, is_dry_run=is_dry_run, name=name)
    seen = {each.directory for each in done}
    users = {
        each.runtime_path: each.fleet for each in scan_fleet_processes() if each.runtime_path is not None
    }
    for base in runtime_bases:
        for runtime in list_own_directories(base):
            if runtime in seen:
                continue
            if runtime in users:
                done.append(
                    DirectoryInUse(runtime, f"agents of fleet `{users[runtime]}` run", users[runtime])
                )
                continue
            found = _inspect_runtime_dir(runtime)
            done.append(
                found if is_dry_run or isinstance(found, DirectoryInUse) else _remove_directory(found)
            )
    return done


@contextlib.contextmanager
def _spawn_lock_held(state_dir: StateDir) -> Iterator[None]:
    """Hold the lock that a client needs to start a supervisor."""
    with contextlib.ExitStack() as stack:
        if state_dir.path.is_dir():
            lock = stack.enter_context(open(state_dir.spawn_lock, "ab"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _describe_running(state_dir: StateDir) -> str:
    """Describe what of a fleet is running; empty if nothing is."""
    with contextlib.suppress(FileNotFoundError), open(state_dir.supervisor_lock, "rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return "its supervisor runs"
    if living := sorted(running_agents(state_dir)):
        return f"{len(living)} of its agents run: {', '.join(living[:3])}{' …' if len(living) > 3 else ''}"
    if left := sorted(pid for pids in find_leftovers(state_dir, ()).values() for pid in pids):
        return f"processes that its agents left run: {', '.join(f'pid {pid}' for pid in left)}"
    bound = next(filter(is_listening, find_sockets(state_dir.runtime_path)), None)
    return f"a process listens at `{bound}`" if bound else ""


def _inspect_runtime_dir(runtime: Path) -> StaleDirectory | DirectoryInUse:
    bound = next(filter(is_listening, find_sockets(runtime)), None)
    if bound is not None:
        return DirectoryInUse(runtime, f"a process listens at `{bound}`")
    changed_s = max(path.stat().st_mtime for path in (runtime, *_engine_subdirectories(runtime)))
    if time.time() - changed_s < _MIN_IDLE_S:
        return DirectoryInUse(runtime, f"it was in use less than {_MIN_IDLE_S:.0f} s ago")
    return _stale_directory(
        runtime, "no process listens in it", {*find_sockets(runtime), *find_cell_manifests(runtime)}
    )


def _engine_files(directory: Path, state_dir: StateDir) -> set[Path]:
    """Return the files in a state or runtime directory that the engine has created."""
    if directory == state_dir.runtime_path:
        return {*find_sockets(directory), *find_cell_manifests(directory)}
    files = {path for path in directory.iterdir() if _is_engine_file(path.name)}
    for inner in (state_dir.leases_dir, state_dir.path / "will"):
        files |= set(inner.glob("*")) | set(inner.glob(".*.new"))
    files |= {path for path in state_dir.logs_dir.glob("*") if path.name.endswith(_LOG_SUFFIXES)}
    return {path for path in files if path.is_file() and not path.is_symlink()}


def _is_engine_file(name: str) -> bool:
    """Return whether the engine creates such a file in a state directory, as `book.json.4120.new`."""
    stem, dot, suffix = name.partition(".")
    is_damaged = name.startswith(f"hub.db{DAMAGED_INFIX}")
    return (
        name in _BARE_NAMES
        or is_damaged
        or (stem in _STATE_STEMS and (dot + suffix).endswith(_STATE_SUFFIXES))
    )


def _stale_directory(directory: Path, reason: str, files: set[Path]) -> StaleDirectory:
    directories = [*_engine_subdirectories(directory), directory]
    found = {path for each in directories for path in each.iterdir()}
    unknown_paths = sorted(found - files - set(directories))
    size = sum(path.lstat().st_blocks * 512 for path in files)
    return StaleDirectory(directory, reason, (*sorted(files), *directories), tuple(unknown_paths), size)


def _engine_subdirectories(directory: Path) -> list[Path]:
    """Return the existing subdirectories that the engine creates in a state or runtime directory."""
    names = ("lease", "will", "cell", "log", "notify", "z")
    return [path for name in names if (path := directory / name).is_dir() and not path.is_symlink()]


def _remove_directory(stale: StaleDirectory) -> StaleDirectory:
    """Remove it; return what is removed. A directory that holds anything else stays."""
    removed = []
    for path in stale.paths:
        if not path.is_dir():
            path.unlink()
        elif any(path.iterdir()):
            continue
        else:
            path.rmdir()
        removed.append(path)
    return stale._replace(paths=tuple(removed))
