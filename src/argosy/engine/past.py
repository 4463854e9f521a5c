"""The measured past of each agent: how long its last starts and stops took, read from the diary."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from statistics import median
from typing import NamedTuple

import msgspec

from argosy.engine.diary import Entry
from argosy.engine.state import READY_STATES, State

# So many last starts count: enough for a median, few enough to follow a change of the code.
REMEMBERED = 9

_READY = frozenset(state.value for state in READY_STATES)


class Past(msgspec.Struct, frozen=True):
    """Seconds from the order of each of the last starts to readiness, and of each stop; oldest first."""

    starts_s: tuple[float, ...] = ()
    stops_s: tuple[float, ...] = ()

    @property
    def start_s(self) -> float | None:
        """The median of the last starts, None without one."""
        return median(self.starts_s) if self.starts_s else None

    @property
    def stop_s(self) -> float | None:
        """The median of the last stops, None without one."""
        return median(self.stops_s) if self.stops_s else None


class Span(NamedTuple):
    """Seconds that an agent took for one thing."""

    agent: str
    kind: str
    seconds: float


def read_past(entries: Iterable[Entry]) -> dict[str, Past]:
    """Return the past of every agent that the diary knows.

    Only starts that ended in readiness count; those that timed out or crashed tell nothing of the next.
    """
    starts: dict[str, deque[float]] = {}
    stops: dict[str, deque[float]] = {}
    for span in _spans(entries):
        kept = starts if span.kind == "start" else stops
        kept.setdefault(span.agent, deque(maxlen=REMEMBERED)).append(span.seconds)
    names = dict.fromkeys([*starts, *stops])
    return {name: Past(tuple(starts.get(name, ())), tuple(stops.get(name, ()))) for name in names}


def is_order(entry: Entry) -> bool:
    """Return whether the agent's process was ordered here; its birth, where no order was noted."""
    return entry.kind == "order" or (
        entry.kind == "state" and entry.state == State.STARTING and entry.pid is not None
    )


def _spans(entries: Iterable[Entry]) -> Iterator[Span]:
    ordered: dict[str, float] = {}
    stopping: dict[str, float] = {}
    for entry in entries:
        name = entry.agent
        if is_order(entry):
            # The birth follows the order; only the first of both begins the start.
            if entry.kind == "order" or name not in ordered:
                ordered[name] = entry.mono_s
        elif entry.kind == "adopted":
            ordered.pop(name, None)
        elif entry.kind == "state":
            began_s = ordered.pop(name, None) if entry.state != State.STARTING else None
            if began_s is not None and entry.state in _READY and entry.mono_s >= began_s:
                yield Span(name, "start", entry.mono_s - began_s)
            if entry.state == State.STOPPING:
                stopping.setdefault(name, entry.mono_s)
            elif name in stopping:
                ended_s = entry.mono_s - stopping.pop(name)
                if ended_s >= 0:  # below zero: another boot
                    yield Span(name, "stop", ended_s)


class Estimate(msgspec.Struct, frozen=True):
    """How long a start or a stop will take: the median of `measured` earlier ones, 0 for a default."""

    seconds: float
    measured: int


# What a start is taken for that no agent of the fleet has ever shown.
DEFAULT_START_S = 1.0
# And a stop.
DEFAULT_STOP_S = 0.1


def estimate_starts(names: Iterable[str], past: Mapping[str, Past]) -> dict[str, Estimate]:
    """Return what the start of each agent will take.

    One that was never measured is taken for the median of those that were, without any for `DEFAULT_START_S`.
    """
    names = list(names)
    known = [start_s for name in names if name in past and (start_s := past[name].start_s) is not None]
    default_s = median(known) if known else DEFAULT_START_S
    return {name: _estimate(past.get(name, Past()), default_s) for name in names}


def estimate_stop(past: Past) -> Estimate:
    """Return what the stop of an agent will take; `DEFAULT_STOP_S` when it was never measured."""
    return Estimate(DEFAULT_STOP_S if past.stop_s is None else past.stop_s, len(past.stops_s))


def _estimate(past: Past, default_s: float) -> Estimate:
    return Estimate(default_s if past.start_s is None else past.start_s, len(past.starts_s))
