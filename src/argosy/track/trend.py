"""Trends of measured values: slope, prediction, noise, and a sparkline."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import combinations

_BARS = "▁▂▃▄▅▆▇█"
MIN_POINTS = 3
_DAY_S = 86400.0


def slope_per_day(points: Sequence[tuple[float, float]]) -> float | None:
    """Return the change of a value per day, None with too few points.

    The median of the slopes of all pairs (Theil 1950, Sen 1968), which one outlier does not change.

    points: (epoch seconds, value).
    """
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2) if a[0] != b[0]]
    if len(points) < MIN_POINTS or not slopes:
        return None
    return statistics.median(slopes) * _DAY_S


def predicted_time(points: Sequence[tuple[float, float]], target: float) -> float | None:
    """Return the epoch second at which the trend meets `target`; None if it never does or is unknown."""
    slope = slope_per_day(points)
    if not slope:
        return None
    last_s, last = points[-1]
    days = (target - last) / slope
    return last_s + days * _DAY_S if days >= 0 else None


def sparkline(values: Sequence[float], max_values: int = 12) -> str:
    """Return the last `max_values` values as bars; equal values have half height."""
    shown = values[-max_values:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    if low == high:
        return _BARS[3] * len(shown)
    return "".join(_BARS[round((value - low) / (high - low) * (len(_BARS) - 1))] for value in shown)


def spread_of(values: Sequence[float]) -> float:
    """Return the noise of repeated values: 1.4826 times the median absolute deviation.

    That is one standard deviation for a normal distribution (Rousseeuw and Croux 1993); 0 for a single value.
    """
    middle = statistics.median(values)
    return 1.4826 * statistics.median(abs(value - middle) for value in values)
