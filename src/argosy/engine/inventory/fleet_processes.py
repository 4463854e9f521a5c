"""What /proc shows of fleets: supervisors by the lock they hold, agents by their environment.

Needs no state directory, so it also finds processes after the directory was deleted.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.inventory.leftover_processes import DELETED_SUFFIX, locked_files
from argosy.engine.process import os_process
from argosy.engine.state.state_dir import state_dir_at

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUPERVISOR_TITLE = b"argosy: supervisor "
_CELL_TITLE = b"argosy: cell "
_SUPERVISOR_LOCK_NAME = "supervisor.lock"
_LEASES_DIR_NAME = "lease"


class FleetProcess(NamedTuple):
    """A process of a fleet. state_path, runtime_path: the fleet's directories, the latter None if unknown."""

    pid: int
    fleet: str
    state_path: Path
    runtime_path: Path | None = None
    environment: str = ""
    is_supervisor: bool = False


def scan_fleet_processes() -> Iterator[FleetProcess]:
    """Yield the supervisors and the agents of this user."""
    for pid in os_process.all_pids():
        try:
            if os.stat(f"/proc/{pid}").st_uid == os.getuid():
                yield from _supervisor_processes(pid)
                if (agent := inspect_agent_process(pid)) is not None:
                    yield agent
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has exited, or is not readable


def _supervisor_processes(pid: int) -> Iterator[FleetProcess]:
    title = _read_title(pid)
    if not title.startswith(_SUPERVISOR_TITLE):
        return
    name = title.removeprefix(_SUPERVISOR_TITLE).rstrip(b"\0").decode(errors="replace")
    states = {
        Path(path).parent for path in locked_files(pid) if os.path.basename(path) == _SUPERVISOR_LOCK_NAME
    }
    for state in states:
        yield FleetProcess(pid, name, state, is_supervisor=True)


def inspect_agent_process(pid: int) -> FleetProcess | None:
    """Return what an agent's process shows of its fleet; None for any other process.

    An agent leads its session and has no terminal: a user may have given a shell its variables.
    """
    stat = os_process.read_stat(pid)
    if stat is None or stat.session != pid or stat.state == "Z" or stat.terminal:
        return None
    if _read_title(pid).startswith(_CELL_TITLE):
        return _inspect_cell_process(pid)
    variables = os_process.read_environ(pid)
    fleet, book, notify = (
        variables.get(name, "") for name in ("ARGOSY_FLEET", "ARGOSY_BOOK", "NOTIFY_SOCKET")
    )
    if not (fleet and book and notify):
        return None
    return FleetProcess(
        pid, fleet, Path(book).parent, Path(notify).parent.parent, variables.get("ENV_TYPE", "")
    )


def _read_title(pid: int) -> bytes:
    try:
        return os_process.read_small_file(f"/proc/{pid}/cmdline")
    except OSError:
        return b""  # it has exited, or is not readable


def _inspect_cell_process(pid: int) -> FleetProcess | None:
    """Return what a cell's process shows by its lease; its title has overwritten its environment."""
    for path in map(Path, locked_files(pid)):
        if path.parent.name == _LEASES_DIR_NAME:
            state = path.parent.parent
            return FleetProcess(pid, state.name.rpartition("-")[0], state, state_dir_at(state).runtime_path)
    return None


def working_directory(pid: int) -> tuple[Path, bool] | None:
    """Return the working directory of a process, and whether it was deleted; None if not readable."""
    try:
        found = os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return None
    return Path(found.removesuffix(DELETED_SUFFIX)), found.endswith(DELETED_SUFFIX)
