"""What still runs: living agents by their leases, and what an ended one has left behind."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from argosy.engine import lease, process

if TYPE_CHECKING:
    from argosy.engine.folder import Folder


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


def is_stray(pid: int, notify: str) -> bool:
    """Return whether `pid` is what an agent left behind: its environment names the agent's notify socket."""
    return process.has_variable(pid, f"NOTIFY_SOCKET={notify}")
