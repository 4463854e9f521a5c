"""Samples memory and descriptors of processes during a soak."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_FIFTHS: Final = 5
_WARMUP_SHARE: Final = 0.1  # of a run, for imports, first lanes and the allocator's first arenas


class ProcessStats(msgspec.Struct, frozen=True):
    """One sample of one process.

    resident_bytes: RSS, since PSS changes whenever another Python process starts or exits.
    """

    resident_bytes: int
    descriptors: int
    threads: int


class StatsTrend(msgspec.Struct, frozen=True):
    """A value in the first and in the last fifth of a run."""

    first: float
    last: float


def sample(pid: int) -> ProcessStats:
    """Return the current memory, descriptors and threads of a process."""
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
    """Compare the first fifth of a run, after its warm-up, with its last.

    of: return the value of a sample. middle: reduce a fifth to one value, such as `statistics.median`.
    Raises ValueError: there are fewer than five samples.
    """
    values = [of(each) for each in samples[int(len(samples) * _WARMUP_SHARE) :]]
    fifth = len(values) // _FIFTHS
    if not fifth:
        raise ValueError(f"a trend needs at least {_FIFTHS} samples, not {len(values)}")
    return StatsTrend(middle(values[:fifth]), middle(values[-fifth:]))
