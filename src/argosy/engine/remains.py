"""What still runs: living agents by their leases or by /proc, and what an ended one has left behind."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from argosy.engine import lease, process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from argosy.engine.folder import Folder

_DELETED = " (deleted)"


def living_agents(folder: Folder) -> dict[str, process.Identity]:
    """Return the agents of a fleet that live, by its leases; by /proc where that folder was deleted."""
    return living_leases(folder) if folder.lock.exists() else agents_in_proc(folder)


def living_leases(folder: Folder) -> dict[str, process.Identity]:
    """Return the agents of a state folder whose recorded process lives, with that process."""
    try:
        names = sorted(os.listdir(folder.leases))
    except FileNotFoundError:
        return {}
    boot = process.boot_id()
    living = {}
    for name in names:
        record = lease.read_record(folder.lease(name))
        if record is None or record.boot != boot:
            continue
        pidfd = process.open_process(record.identity)
        if pidfd is not None:
            os.close(pidfd)
            living[name] = record.identity
    return living


def agents_in_proc(folder: Folder) -> dict[str, process.Identity]:
    """Return the living agents of a fleet as /proc shows them, whatever has become of their leases.

    An agent leads its session, and holds its lease open or was told its notify socket. Of several
    such processes of one agent (a daemon that it started leads a session too) it is the oldest.
    """
    found: dict[str, process.Identity] = {}
    for pid in process.all_pids():
        stat = process.read_stat(pid)
        if stat is None or stat.session != pid or stat.state == "Z" or pid == os.getpid():
            continue
        identity = process.Identity(pid, stat.started)
        for name in _names_of(pid, folder):
            if name not in found or identity.started < found[name].started:
                found[name] = identity
    return found


def _names_of(pid: int, folder: Folder) -> Iterator[str]:
    """Yield the agents whose lease a process holds open, and the one that it was started as."""
    leases = f"{folder.leases}/"
    with contextlib.suppress(PermissionError, FileNotFoundError, ProcessLookupError):
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):  # closed meanwhile
                target = os.readlink(f"/proc/{pid}/fd/{number}").removesuffix(_DELETED)
                if target.startswith(leases):
                    yield target.removeprefix(leases)
    told = process.variables(pid)
    name = told.get("ARGOSY_AGENT")
    if name and told.get("NOTIFY_SOCKET") == str(folder.notify(name)):
        yield name


def hub_in_proc(folder: Folder) -> process.Identity | None:
    """Return the process that holds the lock of a fleet's hub, by /proc, which knows deleted files too."""
    for pid in process.all_pids():
        stat = process.read_stat(pid)
        if stat is not None and _holds_lock(pid, str(folder.hub_lock)):
            return process.Identity(pid, stat.started)
    return None


def _holds_lock(pid: int, path: str) -> bool:
    """Return whether a process holds the exclusive lock of a file that it opened under this name."""
    with contextlib.suppress(PermissionError, FileNotFoundError, ProcessLookupError):
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):  # closed meanwhile
                if os.readlink(f"/proc/{pid}/fd/{number}").removesuffix(_DELETED) == path:
                    told = process.read_at_once(f"/proc/{pid}/fdinfo/{number}")
                    return any(b"FLOCK" in line and b"WRITE" in line for line in told.splitlines())
    return False


def is_stray(pid: int, notify: str) -> bool:
    """Return whether `pid` is what an agent left behind: its environment names the agent's notify socket."""
    return process.variables(pid).get("NOTIFY_SOCKET") == notify
