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

LEAST: Final = 5  # starts to compare with
REMEMBERED: Final = 21
SPREADS: Final = 5.0  # so many standard deviations
SIGMA: Final = 1.4826  # of a normal distribution, for each MAD
LEAST_SHARE: Final = 0.5  # of the median, and
LEAST_EXCESS_S: Final = 1.0  # beyond it, whatever the spread

_READY: Final = frozenset(("ready", "degraded"))


class Usual(msgspec.Struct, frozen=True):
    """What a start usually takes, in seconds. spread_s: the MAD; count: of how many."""

    median_s: float
    spread_s: float
    count: int

    @property
    def bound_s(self) -> float:
        """Beyond this a start is slow."""
        spread_s = SPREADS * SIGMA * self.spread_s
        return self.median_s + max(spread_s, LEAST_SHARE * self.median_s, LEAST_EXCESS_S)

    @property
    def words(self) -> str:
        """The same, for people."""
        return (
            f"{self.count} earlier starts took {self.median_s:.2f} s in the median, ± {self.spread_s:.2f} s"
        )


def usual(took_s: Sequence[float]) -> Usual | None:
    """Return what starts usually take, None where there are too few."""
    if len(took_s) < LEAST:
        return None
    middle = median(took_s)
    return Usual(middle, median(abs(each - middle) for each in took_s), len(took_s))


class Slow(msgspec.Struct, frozen=True):
    """A start that takes, or took, longer than usual."""

    agent: str
    took_s: float
    usual: Usual
    is_over: bool

    @property
    def words(self) -> str:
        """What is told."""
        verb = "was ready after" if self.is_over else "has been starting for"
        return f"{self.agent} {verb} {self.took_s:.1f} s: {self.usual.words}"


class Pace:
    """The starts of one machine's agents, by any one clock that goes on evenly."""

    def __init__(self) -> None:
        self._ordered: dict[str, tuple[float, bool]] = {}  # when, and whether in a crowd
        self._past: dict[tuple[str, bool], deque[float]] = {}
        self._slow: dict[str, Slow] = {}
        self._is_apply = False

    def hear(self, kind: str, agent: str, state: str, at_s: float) -> None:
        """Take an event of the engine."""
        if kind == "apply":
            self._is_apply = True
        elif kind in ("account", "supervisor"):
            self._is_apply = False
            if kind == "supervisor":  # and perhaps another boot, whose clock begins anew
                self._ordered.clear()
        elif kind == "order":
            self._ordered[agent] = at_s, self._is_apply
            self._slow.pop(agent, None)
        elif kind == "state" and state != "starting" and (began := self._ordered.pop(agent, None)):
            began_s, is_crowd = began
            if state in _READY and at_s >= began_s:
                self._on_ready(agent, at_s - began_s, is_crowd)

    def _on_ready(self, agent: str, took_s: float, is_crowd: bool) -> None:
        past = self._past.setdefault((agent, is_crowd), deque(maxlen=REMEMBERED))
        found = usual(past)
        past.append(took_s)
        if found and took_s > found.bound_s:
            self._slow[agent] = Slow(agent, took_s, found, is_over=True)

    def slow(self, now_s: float) -> dict[str, Slow]:
        """Return the starts that are slow: under way, or over and not forgotten."""
        found = dict(self._slow)
        for agent, (began_s, is_crowd) in self._ordered.items():
            before = usual(self._past.get((agent, is_crowd), ()))
            if before and now_s - began_s > before.bound_s:
                found[agent] = Slow(agent, now_s - began_s, before, is_over=False)
        return found

    def forget(self, agent: str) -> None:
        """Say no more of a start that is over."""
        self._slow.pop(agent, None)
