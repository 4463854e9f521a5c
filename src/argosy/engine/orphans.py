"""The forkers of a supervisor that died, which one that was stopped would outlive for ever.

A forker ends by itself when its supervisor does, unless it is stopped or hangs. So each supervisor
leaves the numbers and start times of its forkers, and the next one ends those that are left: from
then on nothing is forked by an order of the one before.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

import msgspec

from argosy.engine import process

if TYPE_CHECKING:
    from collections.abc import Iterable

    from argosy.engine.folder import Folder


class _Forkers(msgspec.Struct, frozen=True):
    """Numbers and start times of one boot. version: later ones add keys."""

    boot: str
    forkers: list[tuple[int, int]]
    version: int = 1


def note_forkers(folder: Folder, pids: Iterable[int]) -> None:
    """Leave to the next supervisor which forkers there are; a full disk costs no more than this."""
    found = [(pid, stat.started) for pid in pids if (stat := process.read_stat(pid)) is not None]
    beside = folder.forkers.with_suffix(".new")
    try:
        beside.write_bytes(msgspec.json.encode(_Forkers(process.boot_id().hex(), found)))
        os.replace(beside, folder.forkers)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()


def end_orphans(folder: Folder) -> list[int]:
    """Kill the forkers that an earlier supervisor has left; return their numbers."""
    try:
        left = msgspec.json.decode(folder.forkers.read_bytes(), type=_Forkers)
    except (OSError, msgspec.DecodeError):
        return []
    ended = []
    for pid, started in left.forkers if left.boot == process.boot_id().hex() else ():
        pidfd = process.open_process(process.Identity(pid, started))
        if pidfd is not None:
            process.send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
            ended.append(pid)
    return ended
