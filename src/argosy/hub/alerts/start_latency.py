"""Pace: how long an agent's start takes, beside its own earlier starts.

Robust statistics, nothing cleverer: the median of the last starts, and the median of what they are off it
(MAD), which one outlier, or four of ten, do not move. A start in the crowd of a whole fleet shares the
processor with the others, so it is compared with starts in a crowd, and one by itself with those by
themselves. Nothing is said before there are five to compare with.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import Final

import msgspec

MIN_STARTS: Final = 5  # starts to compare with
MAX_STARTS: Final = 21
MAX_DEVIATIONS: Final = 5.0  # so many standard deviations
SIGMA: Final = 1.4826  # of a normal distribution, for each MAD
MIN_EXCESS_SHARE: Final = 0.5  # of the median, and
MIN_EXCESS_S: Final = 1.0  # beyond it, whatever the spread

_READY_STATES: Final = frozenset(("ready", "degraded"))


class StartLatencyBaseline(msgspec.Struct, frozen=True):
    """What a start usually takes, in seconds. spread_s: the MAD; count: of how many."""

    median_s: float
    mad_s: float
    count: int

    @property
    def bound_s(self) -> float:
        """Beyond this a start is slow."""
        spread_s = MAX_DEVIATIONS * SIGMA * self.mad_s
        return self.median_s + max(spread_s, MIN_EXCESS_SHARE * self.median_s, MIN_EXCESS_S)

    @property
    def description(self) -> str:
        """The same, for people."""
        return f"{self.count} earlier starts took {self.median_s:.2f} s in the median, ± {self.mad_s:.2f} s"


def make_baseline(took_s: Sequence[float]) -> StartLatencyBaseline | None:
    """Return what starts usually take, None where there are too few."""
    if len(took_s) < MIN_STARTS:
        return None
    middle = median(took_s)
    return StartLatencyBaseline(middle, median(abs(each - middle) for each in took_s), len(took_s))


class SlowStart(msgspec.Struct, frozen=True):
    """A start that takes, or took, longer than usual."""

    agent: str
    took_s: float
    baseline: StartLatencyBaseline
    is_finished: bool

    @property
    def description(self) -> str:
        """What is told."""
        verb = "was ready after" if self.is_finished else "has been starting for"
        return f"{self.agent} {verb} {self.took_s:.1f} s: {self.baseline.description}"


class StartLatencyTracker:
    """The starts of one machine's agents, by any one clock that goes on evenly."""

    def __init__(self) -> None:
        self._started: dict[str, tuple[float, bool]] = {}  # when, and whether in a crowd
        self._durations: dict[tuple[str, bool], deque[float]] = {}
        self._slow: dict[str, SlowStart] = {}
        self._is_applying = False

    def on_event(self, kind: str, agent: str, state: str, at_s: float) -> None:
        """Take an event of the engine."""
        if kind == "apply":
            self._is_applying = True
        elif kind in ("account", "supervisor"):
            self._is_applying = False
            if kind == "supervisor":  # and perhaps another boot, whose clock begins anew
                self._started.clear()
        elif kind == "spawn-requested":
            self._started[agent] = at_s, self._is_applying
            self._slow.pop(agent, None)
        elif kind == "state" and state != "starting" and (began := self._started.pop(agent, None)):
            started_s, is_fleet_start = began
            if state in _READY_STATES and at_s >= started_s:
                self._on_ready(agent, at_s - started_s, is_fleet_start)

    def _on_ready(self, agent: str, took_s: float, is_fleet_start: bool) -> None:
        durations = self._durations.setdefault((agent, is_fleet_start), deque(maxlen=MAX_STARTS))
        baseline = make_baseline(durations)
        durations.append(took_s)
        if baseline and took_s > baseline.bound_s:
            self._slow[agent] = SlowStart(agent, took_s, baseline, is_finished=True)

    def slow_starts(self, now_s: float) -> dict[str, SlowStart]:
        """Return the starts that are slow: under way, or over and not forgotten."""
        found = dict(self._slow)
        for agent, (started_s, is_fleet_start) in self._started.items():
            baseline = make_baseline(self._durations.get((agent, is_fleet_start), ()))
            if baseline and now_s - started_s > baseline.bound_s:
                found[agent] = SlowStart(agent, now_s - started_s, baseline, is_finished=False)
        return found

    def discard(self, agent: str) -> None:
        """Say no more of a start that is over."""
        self._slow.pop(agent, None)
