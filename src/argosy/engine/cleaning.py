"""What the engine has left on this machine that nothing runs from, and its removal.

Only what has a name that the engine gives is removed, one file at a time; anything else stays, and
the folder around it. A fleet is let alone while its supervisor or one of its agents lives.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.damaged import DAMAGED
from argosy.engine.folder import Folder, folder_of_state
from argosy.engine.remains import living_agents, remnants
from argosy.engine.roster import read_roster
from argosy.engine.sockets import is_listening, rolls_in, sockets_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_STEMS = ("supervisor", "spawn", "diary", "wills", "applied", "imprint", "appetite", "book", "forkers", "hub")
_ENDS = (".lock", ".log", ".json", ".new", ".1", ".db", ".db-wal", ".db-shm", ".token", ".html")
_LOG_ENDS = (".log", ".idx", ".new")
# A runtime folder of a fleet that is not known here is not stale before: somebody may be about to use it.
_SETTLED_S = 60.0


class Leftover(NamedTuple):
    """A folder that may go, or has gone. paths: what of it; others: what is not the engine's and stays."""

    folder: Path
    why: str
    paths: tuple[Path, ...]
    others: tuple[Path, ...]
    size_bytes: int


class Kept(NamedTuple):
    """A folder that is let alone, and why."""

    folder: Path
    why: str


def clean_fleet(folder: Folder, why: str, *, is_dry: bool) -> list[Leftover | Kept]:
    """Remove the state of a fleet and its sockets, unless something of it runs; return what was done.

    is_dry: only tell. Nobody can start the fleet meanwhile.
    """
    with _undisturbed(folder):
        there = [path for path in (folder.state, folder.runtime) if path.is_dir()]
        if running := _what_runs(folder):
            return [Kept(path, running) for path in there]
        found = (_leftover(path, why, _known(path, folder)) for path in there)
        return [each if is_dry else _remove(each) for each in found]


def clean_strangers(home: Path, bases: Iterable[Path], *, is_dry: bool) -> list[Leftover | Kept]:
    """Remove what no fleet of this user needs any more; return what was done, and what was let alone.

    home: where the state folders are; those whose fleet file is gone are meant. bases: where the
    runtime folders are; those in which nobody listens.
    """
    done: list[Leftover | Kept] = []
    for state in _own_folders(home):
        folder = folder_of_state(state)
        roster = read_roster(folder)
        if roster is not None and not os.path.exists(roster.plan.path):
            done += clean_fleet(folder, f"its fleet file `{roster.plan.path}` is gone", is_dry=is_dry)
    for base in bases:
        for runtime in _own_folders(base):
            found = _look_at_runtime(runtime)
            done.append(found if is_dry or isinstance(found, Kept) else _remove(found))
    return done


@contextlib.contextmanager
def _undisturbed(folder: Folder) -> Iterator[None]:
    """Hold what a client needs to start a supervisor."""
    with contextlib.ExitStack() as stack:
        if folder.state.is_dir():
            lock = stack.enter_context(open(folder.spawn_lock, "ab"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _what_runs(folder: Folder) -> str:
    """Return what of a fleet is alive, in words; empty when nothing is."""
    with contextlib.suppress(FileNotFoundError), open(folder.lock, "rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return "its supervisor runs"
    if living := sorted(living_agents(folder)):
        return f"{len(living)} of its agents live: {', '.join(living[:3])}{' …' if len(living) > 3 else ''}"
    if left := sorted(pid for pids in remnants(folder, ()).values() for pid in pids):
        return f"what its agents left lives: {', '.join(f'pid {pid}' for pid in left)}"
    bound = next(filter(is_listening, sockets_in(folder.runtime)), None)
    return f"somebody listens at `{bound}`" if bound else ""


def _look_at_runtime(runtime: Path) -> Leftover | Kept:
    bound = next(filter(is_listening, sockets_in(runtime)), None)
    if bound is not None:
        return Kept(runtime, f"somebody listens at `{bound}`")
    changed_s = max(path.stat().st_mtime for path in (runtime, *_folders_in(runtime)))
    if time.time() - changed_s < _SETTLED_S:
        return Kept(runtime, f"it was in use less than {_SETTLED_S:.0f} s ago")
    return _leftover(runtime, "nobody listens in it", {*sockets_in(runtime), *rolls_in(runtime)})


def _own_folders(place: Path) -> list[Path]:
    """Return the folders in `place` that are this user's, links aside."""
    if not place.is_dir():
        return []
    found = [path for path in sorted(place.iterdir()) if path.is_dir() and not path.is_symlink()]
    return [path for path in found if path.stat().st_uid == os.getuid()]


def _known(place: Path, folder: Folder) -> set[Path]:
    """Return the files in a state or runtime folder that the engine has made."""
    if place == folder.runtime:
        return {*sockets_in(place), *rolls_in(place)}
    files = {path for path in place.iterdir() if _is_ours(path.name)}
    for inner in (folder.leases, folder.state / "will"):
        files |= set(inner.glob("*")) | set(inner.glob(".*.new"))
    files |= {path for path in folder.logs.glob("*") if path.name.endswith(_LOG_ENDS)}
    return {path for path in files if path.is_file() and not path.is_symlink()}


def _is_ours(name: str) -> bool:
    """Return whether the engine makes such a file in a state folder: `diary.1`, `book.json.4120.new`."""
    stem, dot, end = name.partition(".")
    is_damaged = name.startswith(f"hub.db{DAMAGED}")
    return name in ("diary", "wills") or is_damaged or (stem in _STEMS and (dot + end).endswith(_ENDS))


def _leftover(place: Path, why: str, files: set[Path]) -> Leftover:
    folders = [*_folders_in(place), place]
    there = {path for folder in folders for path in folder.iterdir()}
    others = sorted(there - files - set(folders))
    size = sum(path.lstat().st_blocks * 512 for path in files)
    return Leftover(place, why, (*sorted(files), *folders), tuple(others), size)


def _folders_in(place: Path) -> list[Path]:
    """Return the folders that the engine makes in a state or runtime folder, those that are there."""
    names = ("lease", "will", "cell", "log", "notify", "z")
    return [path for name in names if (path := place / name).is_dir() and not path.is_symlink()]


def _remove(found: Leftover) -> Leftover:
    """Remove it; return what is gone. A folder that holds anything else stays."""
    gone = []
    for path in found.paths:
        if not path.is_dir():
            path.unlink()
        elif any(path.iterdir()):
            continue
        else:
            path.rmdir()
        gone.append(path)
    return found._replace(paths=tuple(gone))
