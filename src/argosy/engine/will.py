"""What only the supervisor knows of an agent, kept for the next supervisor: its will.

Nothing that decides whether a process runs: that is the lease. A full disk costs the restart count
and the words, never a process.

Two of these are in each agent's way to be ready, and on a busy disk a new file takes a millisecond.
So a will that is there is written over, in one write that neither leaves its first page nor needs
another block; SIGKILL does not tear such a write, and a boot, which could, voids all leases.
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

_PAGE_BYTES = 4096


class Will(msgspec.Struct, frozen=True, kw_only=True):
    """The wish and the past of one agent.

    wanted: up. digest: of the plan it was started by. incarnation: of the process that
    all this is about. log_start: the size of the log when that was ordered. ready_s: epoch seconds,
    None when it was not ready. last_lines: what it printed last, of one that was given up. version: of
    the tree that it was started from.
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
    version: str = ""


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
        version=unit.version,
    )


def write_will(path: Path, will: Will) -> bool:
    """Write a will; return whether that went through (the disk may be full)."""
    data = msgspec.json.encode(will)
    try:
        return _write_over(path, data) or _write_anew(path, data)
    except OSError:
        return False


def _write_over(path: Path, data: bytes) -> bool:
    """Put `data` in the place of what the file holds; return whether it is there and both fit a page.

    Blanks stand where the old will was longer; JSON passes over them.
    """
    if len(data) > _PAGE_BYTES:
        return False
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        size = os.fstat(descriptor).st_size
        if not 0 < size <= _PAGE_BYTES:
            return False  # of a disk that was full: it has no block yet
        return os.pwrite(descriptor, data.ljust(size), 0) == max(len(data), size)
    finally:
        os.close(descriptor)


def _write_anew(path: Path, data: bytes) -> bool:
    """Write a will where there is none, or none that can be written over; return whether it is there.

    A first one needs no file beside it: one that was cut off by a kill is no will, as before.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return _replace(path, data)
    try:
        return os.write(descriptor, data) == len(data)
    finally:
        os.close(descriptor)


def _replace(path: Path, data: bytes) -> bool:
    beside = f"{path.parent}/.{path.name}.new"
    try:
        # Plain calls: see above.
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            is_whole = os.write(descriptor, data) == len(data)
        finally:
            os.close(descriptor)
        if is_whole:
            os.replace(beside, path)
            return True
    except OSError:
        is_whole = False
    with contextlib.suppress(OSError):
        os.unlink(beside)
    return False


def read_will(path: Path) -> Will | None:
    """Return the will at `path`, or None when there is none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Will)
    except (OSError, msgspec.DecodeError):
        return None
