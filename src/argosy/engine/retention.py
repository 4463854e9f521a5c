"""How much of the agents' output is kept: so much of each, so long, and so much in all. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Limits(msgspec.Struct, frozen=True):
    """size_bytes: of each log; age_s: of a line, None for no limit; total_bytes: of all logs of the fleet."""

    size_bytes: int = 64 * 2**20
    age_s: float | None = None
    total_bytes: int = 2**30


class Cut(NamedTuple):
    """Keep the newest so many bytes of a log. is_hard: also against those who still read the others."""

    keep_bytes: int
    is_hard: bool


def plan_cuts(held: Mapping[str, int], limits: Limits) -> dict[str, Cut]:
    """Return which logs are cut, by the bytes that each holds.

    Cut is before the limit, at 3/4 of it, and down to a half: what is written until the next look
    has room, and not every look has to cut. Beyond the total the longest logs are cut, to one length.
    """
    cuts = {
        name: Cut(limits.size_bytes // 2, is_hard=False)
        for name, size in held.items()
        if size > limits.size_bytes * 3 // 4
    }
    if sum(held.values()) > limits.total_bytes * 3 // 4:
        level = _level(held.values(), limits.total_bytes // 2)
        for name, size in held.items():
            if size > level:
                cuts[name] = Cut(min(level, limits.size_bytes // 2), is_hard=True)
    return cuts


def _level(sizes: Iterable[int], total: int) -> int:
    """Return the highest level at which sizes cut to it add up to `total` at most."""
    left, rest = total, sorted(sizes)
    for at, size in enumerate(rest):
        share = left // (len(rest) - at)
        if size > share:
            return share
        left -= size
    return max(rest, default=0)
