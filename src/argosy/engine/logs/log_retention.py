"""How much of the agents' logs is kept: limits of size, age and total size. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class LogLimits(msgspec.Struct, frozen=True):
    """Limits of a fleet's logs.

    size_bytes: of each log. age_s: of a line, None for no limit. total_bytes: of all logs together.
    """

    size_bytes: int = 64 * 2**20
    age_s: float | None = None
    total_bytes: int = 2**30


class LogCut(NamedTuple):
    """Keep the newest `keep_bytes` of a log. ignore_readers: drop also what readers have claimed."""

    keep_bytes: int
    ignore_readers: bool


def plan_cuts(disk_bytes: Mapping[str, int], limits: LogLimits) -> dict[str, LogCut]:
    """Return which logs to cut, by their disk usage.

    A log is cut at 3/4 of its limit, down to a half: this leaves room for what is written until the next
    check, and not every check has to cut. Near the total limit the longest logs are cut to one length.
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
    """Return the highest level such that the sizes, cut to it, add up to at most `total`."""
    left, rest = total, sorted(sizes)
    for at, size in enumerate(rest):
        share = left // (len(rest) - at)
        if size > share:
            return share
        left -= size
    return max(rest, default=0)
