"""How much of the agents' output is kept: so much of each, so long, and so much in all. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class LogLimits(msgspec.Struct, frozen=True):
    """size_bytes: of each log; age_s: of a line, None for no limit; total_bytes: of all logs of the fleet."""

    size_bytes: int = 64 * 2**20
    age_s: float | None = None
    total_bytes: int = 2**30


class LogCut(NamedTuple):
    """Keep the newest so many bytes of a log. is_hard: also against those who still read the others."""

    keep_bytes: int
    ignore_readers: bool


def plan_cuts(disk_bytes: Mapping[str, int], limits: LogLimits) -> dict[str, LogCut]:
    """Return which logs are cut, by the bytes that each holds.

    Cut is before the limit, at 3/4 of it, and down to a half: what is written until the next look
    has room, and not every look has to cut. Beyond the total the longest logs are cut, to one length.
    """
    cuts = {
        name: LogCut(limits.size_bytes // 2, ignore_readers=False)
        for name, size in disk_bytes.items()
        if size > limits.size_bytes * 3 // 4
    }
    if sum(disk_bytes.values()) > limits.total_bytes * 3 // 4:
        level = _common_level(disk_bytes.values(), limits.total_bytes // 2)
        for name, size in disk_bytes.items():
            if size > level:
                cuts[name] = LogCut(min(level, limits.size_bytes // 2), ignore_readers=True)
    return cuts


def _common_level(sizes: Iterable[int], total: int) -> int:
    """Return the highest level at which sizes cut to it add up to `total` at most."""
    left, rest = total, sorted(sizes)
    for at, size in enumerate(rest):
        share = left // (len(rest) - at)
        if size > share:
            return share
        left -= size
    return max(rest, default=0)
