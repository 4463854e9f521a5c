"""Memory and descriptors of processes that live through a soak, looked at again and again."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_FIFTHS: Final = 5
_WARMUP_SHARE: Final = 0.1  # of a run: imports, first lanes, the allocator's first arenas


class ProcessStats(msgspec.Struct, frozen=True):
    """One look at one process.

    resident_bytes: not shared out, since the shares change whenever another Python starts or ends.
    """

    resident_bytes: int
    descriptors: int
    threads: int


class StatsTrend(msgspec.Struct, frozen=True):
    """A figure in the first and in the last fifth of a run."""

    first: float
    last: float


def sample(pid: int) -> ProcessStats:
    """Return a process's memory and descriptors now."""
    proc = Path(f"/proc/{pid}")
    return ProcessStats(
        resident_bytes=int((proc / "statm").read_text().split()[1]) * _PAGE_BYTES,
        descriptors=len(os.listdir(proc / "fd")),
        threads=len(os.listdir(proc / "task")),
    )


def trend(
    samples: Sequence[ProcessStats],
    of: Callable[[ProcessStats], int],
    middle: Callable[[Sequence[int]], float],
) -> StatsTrend:
    """Compare the first fifth of a run, once it has settled, with its last.

    middle: what stands for a fifth, such as `statistics.median`; `max` for what comes and goes.

    Raises ValueError: there are fewer looks than fifths.
    """
    settled = [of(each) for each in samples[int(len(samples) * _WARMUP_SHARE) :]]
    fifth = len(settled) // _FIFTHS
    if not fifth:
        raise ValueError(f"a trend needs at least {_FIFTHS} looks, not {len(settled)}")
    return StatsTrend(middle(settled[:fifth]), middle(settled[-fifth:]))
