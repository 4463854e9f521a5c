"""The result of a bench: ratios, values and skipped rows; encoded as `bench/1`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Literal

import msgspec

from testbed.host_info import Machine

Better = Literal["lower", "higher"]


class Ratio(msgspec.Struct, frozen=True):
    """One side over the other, taken within each round; `left` and `right` are the medians of the sides."""

    median: float
    min: float
    max: float
    n: int
    goal: float
    better: Better
    left: float
    right: float
    unit: str

    @property
    def is_at_goal(self) -> bool:
        """Whether the median reaches the goal."""
        return self.median <= self.goal if self.better == "lower" else self.median >= self.goal


class Value(msgspec.Struct, frozen=True):
    """One value, by default the median of `n` measurements. goal: None if it is only reported."""

    value: float
    goal: float | None
    better: Better
    unit: str
    min: float
    max: float
    n: int
    of: Literal["median", "p99", "count"] = "median"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one run of a bench. skipped: label to reason. method: how it was measured."""

    argosy: str = "bench/1"
    name: str
    machine: Machine
    ratios: dict[str, Ratio]
    values: dict[str, Value]
    skipped: dict[str, str]
    method: list[str]


def ratio_of(
    left: Sequence[float], right: Sequence[float], *, goal: float, unit: str, better: Better = "lower"
) -> Ratio:
    """Return the ratio of two series whose entries at the same index come from the same round.

    Raises ValueError: the series differ in length, or are empty.
    """
    each = [one / other for one, other in zip(left, right, strict=True)]
    if not each:
        raise ValueError("a ratio needs at least one round")
    return Ratio(
        median=_round_significant(statistics.median(each)),
        min=_round_significant(min(each)),
        max=_round_significant(max(each)),
        n=len(each),
        goal=goal,
        better=better,
        left=_round_significant(statistics.median(left)),
        right=_round_significant(statistics.median(right)),
        unit=unit,
    )


def value_of(
    series: Sequence[float], unit: str, *, goal: float | None = None, better: Better = "lower"
) -> Value:
    """Return the median of a series with its extremes.

    Raises ValueError: the series is empty.
    """
    if not series:
        raise ValueError("a value needs at least one measurement")
    middle = _round_significant(statistics.median(series))
    return Value(
        middle,
        goal,
        better,
        unit,
        _round_significant(min(series)),
        _round_significant(max(series)),
        len(series),
    )


def p99_of(
    series: Sequence[float], unit: str, *, goal: float | None = None, better: Better = "lower"
) -> Value:
    """Return the 99th percentile of a series (nearest rank: with fewer than 100, its largest).

    Raises ValueError: the series is empty.
    """
    if not series:
        raise ValueError("a value needs at least one measurement")
    rank = math.ceil(0.99 * len(series))
    high = _round_significant(sorted(series)[rank - 1])
    return Value(
        high,
        goal,
        better,
        unit,
        _round_significant(min(series)),
        _round_significant(max(series)),
        len(series),
        of="p99",
    )


def count_of(count: int, unit: str, *, goal: float | None = None) -> Value:
    """Return a count of one run; lower is better."""
    return Value(count, goal, "lower", unit, count, count, 1, of="count")


def _round_significant(number: float) -> float:
    """Round to four significant digits; no bench is more precise."""
    return float(f"{number:.4g}")
