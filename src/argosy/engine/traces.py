"""What /proc shows of fleets: supervisors by the lock they hold, agents by the variables they were given.

It needs no state folder, so it also finds what runs after somebody has deleted that.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine import process
from argosy.engine.folder import folder_of_state
from argosy.engine.remains import DELETED, locked_files

if TYPE_CHECKING:
    from collections.abc import Iterator

_TITLE = b"argosy: supervisor "
_CELL = b"argosy: cell "
_LOCK = "supervisor.lock"
_LEASES = "lease"


class Trace(NamedTuple):
    """A process of a fleet. state, runtime: the fleet's folders, runtime None where it is not told."""

    pid: int
    fleet: str
    state: Path
    runtime: Path | None = None
    environment: str = ""
    is_supervisor: bool = False


def traces_in_proc() -> Iterator[Trace]:
    """Yield the supervisors and the agents of this user."""
    for pid in process.all_pids():
        try:
            if os.stat(f"/proc/{pid}").st_uid == os.getuid():
                yield from _supervisor(pid)
                if (agent := trace_of(pid)) is not None:
                    yield agent
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has ended, or is not to be seen


def started_s(pid: int) -> float:
    """Return when a process began, in epoch seconds, 0 where it has ended."""
    found = process.read_stat(pid)
    if found is None:
        return 0.0
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - found.started / os.sysconf("SC_CLK_TCK")
    return time.time() - age_s


def _supervisor(pid: int) -> Iterator[Trace]:
    title = _title(pid)
    if not title.startswith(_TITLE):
        return
    name = title.removeprefix(_TITLE).rstrip(b"\0").decode(errors="replace")
    states = {Path(path).parent for path in locked_files(pid) if os.path.basename(path) == _LOCK}
    for state in states:
        yield Trace(pid, name, state, is_supervisor=True)


def trace_of(pid: int) -> Trace | None:
    """Return what an agent's process tells of its fleet; None for any other process.

    An agent leads its session and has no terminal: a person may have given a shell its variables.
    """
    stat = process.read_stat(pid)
    if stat is None or stat.session != pid or stat.state == "Z" or stat.terminal:
        return None
    if _title(pid).startswith(_CELL):
        return _trace_of_cell(pid)
    told = process.variables(pid)
    fleet, book, notify = (told.get(name, "") for name in ("ARGOSY_FLEET", "ARGOSY_BOOK", "NOTIFY_SOCKET"))
    if not (fleet and book and notify):
        return None
    return Trace(pid, fleet, Path(book).parent, Path(notify).parent.parent, told.get("ENV_TYPE", ""))


def _title(pid: int) -> bytes:
    try:
        return process.read_at_once(f"/proc/{pid}/cmdline")
    except OSError:
        return b""  # it has ended, or is not to be seen


def _trace_of_cell(pid: int) -> Trace | None:
    """Return what the process of a cell tells by its lease; its title is written over its variables."""
    for path in map(Path, locked_files(pid)):
        if path.parent.name == _LEASES:
            state = path.parent.parent
            return Trace(pid, state.name.rpartition("-")[0], state, folder_of_state(state).runtime)
    return None


def working_folder(pid: int) -> tuple[Path, bool] | None:
    """Return the folder that a process is in, and whether it was deleted; None where it is not to be seen."""
    try:
        found = os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return None
    return Path(found.removesuffix(DELETED)), found.endswith(DELETED)
