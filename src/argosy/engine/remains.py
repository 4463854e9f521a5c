"""What still runs: living agents by their leases or by /proc, and what an ended one has left behind."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from argosy.engine import lease, process
from argosy.engine.state import RUNNING_STATES
from argosy.engine.will import read_wills

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from argosy.engine.folder import Folder

DELETED = " (deleted)"


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
        for name in names_of(pid, folder):
            if name not in found or identity.started < found[name].started:
                found[name] = identity
    return found


def names_of(pid: int, folder: Folder) -> Iterator[str]:
    """Yield the agents whose lease a process holds open, and the one that it was started as."""
    leases = f"{folder.leases}/"
    with contextlib.suppress(PermissionError, FileNotFoundError, ProcessLookupError):
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):  # closed meanwhile
                target = os.readlink(f"/proc/{pid}/fd/{number}").removesuffix(DELETED)
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
        if stat is not None and str(folder.hub_lock) in locked_files(pid):
            return process.Identity(pid, stat.started)
    return None


def locked_files(pid: int) -> Iterator[str]:
    """Yield the names under which a process opened the files whose exclusive lock it holds."""
    with contextlib.suppress(PermissionError, FileNotFoundError, ProcessLookupError):
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):  # closed meanwhile
                name = os.readlink(f"/proc/{pid}/fd/{number}").removesuffix(DELETED)
                told = process.read_at_once(f"/proc/{pid}/fdinfo/{number}") if name.startswith("/") else b""
                if any(b"FLOCK" in line and b"WRITE" in line for line in told.splitlines()):
                    yield name


def remnants(folder: Folder, living: Container[str], *, is_new: bool | None = None) -> dict[str, list[int]]:
    """Return what agents left whose end no supervisor has seen: processes that were told their notify socket.

    living: agents that are not asked about, since they live. is_new: the state folder was just made, None to
    find out whether there is one. /proc is looked through only where an agent was running by its will and
    its recorded process is dead, or where no records are left.
    """
    if is_new is None:
        is_new = not folder.lock.exists()
    unseen = None if is_new else _unseen_ends(folder)
    if unseen is not None and not (unseen := {name for name in unseen if name not in living}):
        return {}
    place = f"{folder.runtime}/notify/"
    by_socket = {str(folder.notify(name)): name for name in unseen or ()}
    found: dict[str, list[int]] = {}
    for pid in process.all_pids():
        told = process.variables(pid) if pid != os.getpid() else {}
        socket = told.get("NOTIFY_SOCKET", "")
        if unseen is not None:
            name = by_socket.get(socket, "")
        else:
            name = (told.get("ARGOSY_AGENT") or Path(socket).stem) if socket.startswith(place) else ""
        if name and name not in living and is_daemon(pid):
            found.setdefault(name, []).append(pid)
    return found


def _unseen_ends(folder: Folder) -> set[str]:
    """Return who was running when the supervisor wrote of it last, and has ended since."""
    wills = read_wills(folder)
    try:
        recorded = os.listdir(folder.leases)
    except FileNotFoundError:
        return set()
    ran = [name for name in recorded if name not in wills or wills[name].state in RUNNING_STATES]
    if not ran:
        return set()
    living, boot = living_leases(folder), process.boot_id()
    records = {name: lease.read_record(folder.lease(name)) for name in ran if name not in living}
    return {name for name, record in records.items() if record is not None and record.boot == boot}


def is_stray(pid: int, notify: str) -> bool:
    """Return whether `pid` is what an agent left behind: its environment names the agent's notify socket."""
    return process.variables(pid).get("NOTIFY_SOCKET") == notify


def is_daemon(pid: int) -> bool:
    """Return whether it has no terminal: a person may have given a shell the variables of an agent."""
    found = process.read_stat(pid)
    return found is not None and not found.terminal
