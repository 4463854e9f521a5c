"""Finds running agents, by their leases or by /proc, and leftover processes of exited agents."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from argosy.engine.process import lease, os_process
from argosy.engine.protocol.state_machine import RUNNING_STATES
from argosy.engine.state.unit_state_store import read_unit_states

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from argosy.engine.state.state_dir import StateDir

DELETED_SUFFIX = " (deleted)"


def running_agents(state_dir: StateDir) -> dict[str, os_process.ProcessIdentity]:
    """Return the living agents of a fleet, by its leases; by /proc if the state directory was deleted."""
    return agents_by_lease(state_dir) if state_dir.supervisor_lock.exists() else agents_by_proc(state_dir)


def agents_by_lease(state_dir: StateDir) -> dict[str, os_process.ProcessIdentity]:
    """Return the agents of a state directory whose recorded process lives, with that process."""
    try:
        names = sorted(os.listdir(state_dir.leases_dir))
    except FileNotFoundError:
        return {}
    boot = os_process.boot_id()
    running = {}
    for name in names:
        record = lease.read_record(state_dir.lease_file(name))
        if record is None or record.boot_id != boot:
            continue
        pidfd = os_process.open_process(record.identity)
        if pidfd is not None:
            os.close(pidfd)
            running[name] = record.identity
    return running


def agents_by_proc(state_dir: StateDir) -> dict[str, os_process.ProcessIdentity]:
    """Return the living agents of a fleet as /proc shows them, without using their leases.

    An agent leads its session, and holds its lease open or has its notify socket in its environment. Of
    several such processes of one agent (a daemon that it started leads a session too) it is the oldest.
    """
    found: dict[str, os_process.ProcessIdentity] = {}
    for pid in os_process.all_pids():
        stat = os_process.read_stat(pid)
        if stat is None or stat.session != pid or stat.state == "Z" or pid == os.getpid():
            continue
        identity = os_process.ProcessIdentity(pid, stat.start_ticks)
        for name in agent_names_of(pid, state_dir):
            if name not in found or identity.start_ticks < found[name].start_ticks:
                found[name] = identity
    return found


def agent_names_of(pid: int, state_dir: StateDir) -> Iterator[str]:
    """Yield the agents whose lease a process holds open, and the agent that it was started as."""
    leases = f"{state_dir.leases_dir}/"
    with contextlib.suppress(PermissionError, FileNotFoundError, ProcessLookupError):
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):  # closed meanwhile
                target = os.readlink(f"/proc/{pid}/fd/{number}").removesuffix(DELETED_SUFFIX)
                if target.startswith(leases):
                    yield target.removeprefix(leases)
    environ = os_process.read_environ(pid)
    name = environ.get("ARGOSY_AGENT")
    if name and environ.get("NOTIFY_SOCKET") == str(state_dir.notify_socket(name)):
        yield name


def find_hub_process(state_dir: StateDir) -> os_process.ProcessIdentity | None:
    """Return the process that holds the lock of a fleet's hub, by /proc, which shows deleted files too."""
    for pid in os_process.all_pids():
        stat = os_process.read_stat(pid)
        if stat is not None and str(state_dir.hub_lock) in locked_files(pid):
            return os_process.ProcessIdentity(pid, stat.start_ticks)
    return None


def locked_files(pid: int) -> Iterator[str]:
    """Yield the paths by which a process opened the files that it has locked exclusively."""
    with contextlib.suppress(PermissionError, FileNotFoundError, ProcessLookupError):
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):  # closed meanwhile
                name = os.readlink(f"/proc/{pid}/fd/{number}").removesuffix(DELETED_SUFFIX)
                fdinfo = (
                    os_process.read_small_file(f"/proc/{pid}/fdinfo/{number}")
                    if name.startswith("/")
                    else b""
                )
                if any(b"FLOCK" in line and b"WRITE" in line for line in fdinfo.splitlines()):
                    yield name


def find_leftovers(
    state_dir: StateDir, running: Container[str], *, is_new_state_dir: bool | None = None
) -> dict[str, list[int]]:
    """Return leftover processes of agents whose exit no supervisor has seen, found by their notify socket.

    running: agents to skip, since they live. is_new_state_dir: the state directory was just created; None
    checks whether there is one. /proc is scanned only where a recorded agent was running and its
    process is dead, or where no records are left.
    """
    if is_new_state_dir is None:
        is_new_state_dir = not state_dir.supervisor_lock.exists()
    unobserved = None if is_new_state_dir else _unobserved_exits(state_dir)
    if unobserved is not None and not (unobserved := {name for name in unobserved if name not in running}):
        return {}
    notify_prefix = f"{state_dir.runtime_path}/notify/"
    by_socket = {str(state_dir.notify_socket(name)): name for name in unobserved or ()}
    found: dict[str, list[int]] = {}
    for pid in os_process.all_pids():
        environ = os_process.read_environ(pid) if pid != os.getpid() else {}
        socket = environ.get("NOTIFY_SOCKET", "")
        if unobserved is not None:
            name = by_socket.get(socket, "")
        else:
            name = (
                (environ.get("ARGOSY_AGENT") or Path(socket).stem) if socket.startswith(notify_prefix) else ""
            )
        if name and name not in running and is_daemon(pid):
            found.setdefault(name, []).append(pid)
    return found


def _unobserved_exits(state_dir: StateDir) -> set[str]:
    """Return the agents that were running by the supervisor's last record, and have exited since."""
    saved_states = read_unit_states(state_dir)
    try:
        recorded = os.listdir(state_dir.leases_dir)
    except FileNotFoundError:
        return set()
    were_running = [
        name for name in recorded if name not in saved_states or saved_states[name].state in RUNNING_STATES
    ]
    if not were_running:
        return set()
    running, boot = agents_by_lease(state_dir), os_process.boot_id()
    records = {
        name: lease.read_record(state_dir.lease_file(name)) for name in were_running if name not in running
    }
    return {name for name, record in records.items() if record is not None and record.boot_id == boot}


def is_leftover(pid: int, notify: str) -> bool:
    """Return whether `pid` is a leftover of an agent: its environment names the agent's notify socket."""
    return os_process.read_environ(pid).get("NOTIFY_SOCKET") == notify


def is_daemon(pid: int) -> bool:
    """Return whether it has no terminal: a user may have given a shell the variables of an agent."""
    found = os_process.read_stat(pid)
    return found is not None and not found.terminal
