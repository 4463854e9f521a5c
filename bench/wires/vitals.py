"""Memory and descriptors of processes that live through a soak, looked at again and again."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

_FIFTHS: Final = 5
_UNSETTLED: Final = 0.1  # of a run: imports, first lanes, the allocator's first arenas


class Vitals(msgspec.Struct, frozen=True):
    """One look at one process."""

    rss_bytes: int
    pss_bytes: int
    descriptors: int
    threads: int


class Trend(msgspec.Struct, frozen=True):
    """The median of the first and of the last fifth of a run."""

    first: float
    last: float

    @property
    def growth(self) -> float:
        """The last over the first."""
        return self.last / self.first


def look(pid: int) -> Vitals:
    """Return a process's memory and descriptors now."""
    proc = Path(f"/proc/{pid}")
    sizes = dict(line.split(":") for line in (proc / "smaps_rollup").read_text().splitlines()[1:])
    return Vitals(
        rss_bytes=int(sizes["Rss"].split()[0]) * 1024,
        pss_bytes=int(sizes["Pss"].split()[0]) * 1024,
        descriptors=len(os.listdir(proc / "fd")),
        threads=len(os.listdir(proc / "task")),
    )


def trend(looks: Sequence[Vitals], of: Callable[[Vitals], int]) -> Trend:
    """Compare the first fifth of a run, once it has settled, with its last.

    Raises ValueError: there are fewer looks than fifths.
    """
    settled = [of(each) for each in looks[int(len(looks) * _UNSETTLED) :]]
    fifth = len(settled) // _FIFTHS
    if not fifth:
        raise ValueError(f"a trend needs at least {_FIFTHS} looks, not {len(settled)}")
    return Trend(statistics.median(settled[:fifth]), statistics.median(settled[-fifth:]))
