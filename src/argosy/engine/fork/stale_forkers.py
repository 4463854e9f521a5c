"""Records the forkers of a supervisor, so that the next supervisor can kill those that are left.

A forker exits with its supervisor, unless it is stopped or hangs. So each supervisor records the pids
and start times of its forkers, and the next one kills those that still run: afterwards no request of
the previous supervisor can fork a process.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

import msgspec

from argosy.atomic_file import write_atomic
from argosy.engine.process import os_process

if TYPE_CHECKING:
    from collections.abc import Iterable

    from argosy.engine.state.state_dir import StateDir


class _ForkerRecord(msgspec.Struct, frozen=True):
    """Pids and start times of one boot. version: later versions add keys."""

    boot: str
    forkers: list[tuple[int, int]]
    version: int = 1


def record_forkers(state_dir: StateDir, pids: Iterable[int]) -> None:
    """Record the running forkers for the next supervisor; on a full disk the record is lost."""
    found = [(pid, stat.start_ticks) for pid in pids if (stat := os_process.read_stat(pid)) is not None]
    record = _ForkerRecord(os_process.boot_id().hex(), found)
    with contextlib.suppress(OSError):
        write_atomic(state_dir.forkers_file, msgspec.json.encode(record))


def kill_stale_forkers(state_dir: StateDir) -> list[int]:
    """Kill the forkers that an earlier supervisor has left; return their pids."""
    try:
        record = msgspec.json.decode(state_dir.forkers_file.read_bytes(), type=_ForkerRecord)
    except (OSError, msgspec.DecodeError):
        return []
    killed = []
    for pid, started in record.forkers if record.boot == os_process.boot_id().hex() else ():
        pidfd = os_process.open_process(os_process.ProcessIdentity(pid, started))
        if pidfd is not None:
            os_process.send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
            killed.append(pid)
    return killed
