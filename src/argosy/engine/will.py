"""What only the supervisor knows of an agent, kept for the next supervisor: its will.

Nothing that decides whether a process runs: that is the lease. Written by rename; a full disk
costs the restart count and the words, never a process.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import msgspec

from argosy.engine.state import State

if TYPE_CHECKING:
    from pathlib import Path

    from argosy.engine.unit import Unit


class Will(msgspec.Struct, frozen=True, kw_only=True):
    """The wish and the past of one agent.

    wanted: up. digest: of the plan it was started by. incarnation: of the process that
    all this is about. log_start: the size of the log when that was ordered. ready_s: epoch seconds,
    None when it was not ready. last_lines: what it printed last, of one that was given up.
    """

    wanted: bool
    digest: str
    incarnation: int = 0
    restarts: int = 0
    ready_s: float | None = None
    exit_code: int | None = None
    reason: str = ""
    state: State = State.EXITED
    log_start: int = 0
    last_lines: list[str] = []


def will_of(unit: Unit) -> Will:
    """Return what is to be kept of a unit."""
    return Will(
        wanted=unit.wanted,
        digest=unit.running_digest,
        incarnation=unit.incarnation,
        restarts=unit.restarts,
        ready_s=unit.since_s if unit.is_ready else None,
        reason=unit.reason,
        state=unit.state,
        log_start=unit.log_start,
        last_lines=unit.last_lines,
    )


def write_will(path: Path, will: Will) -> bool:
    """Write a will; return whether that went through (the disk may be full)."""
    beside = f"{path.parent}/.{path.name}.new"
    try:
        # Plain calls: several of these are in each agent's way to be ready.
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, msgspec.json.encode(will))
        finally:
            os.close(descriptor)
        os.replace(beside, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        return False
    return True


def read_will(path: Path) -> Will | None:
    """Return the will at `path`, or None when there is none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Will)
    except (OSError, msgspec.DecodeError):
        return None
