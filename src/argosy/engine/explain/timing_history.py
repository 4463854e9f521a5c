"""The measured past of each agent: how long its last starts and stops took, read from the diary."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from statistics import median
from typing import NamedTuple

import msgspec

from argosy.engine.state.event_log import EventLogRecord
from argosy.engine.unit.state_machine import READY_STATES, State

# So many last starts count: enough for a median, few enough to follow a change of the code.
MAX_SAMPLES = 9

_READY = frozenset(state.value for state in READY_STATES)


class TimingHistory(msgspec.Struct, frozen=True):
    """Seconds from the order of each of the last starts to readiness, and of each stop; oldest first."""

    starts_s: tuple[float, ...] = ()
    stops_s: tuple[float, ...] = ()

    @property
    def median_start_s(self) -> float | None:
        """The median of the last starts, None without one."""
        return median(self.starts_s) if self.starts_s else None

    @property
    def median_stop_s(self) -> float | None:
        """The median of the last stops, None without one."""
        return median(self.stops_s) if self.stops_s else None


class TimedSpan(NamedTuple):
    """Seconds that an agent took for one thing."""

    agent: str
    kind: str
    seconds: float


def load_timing_history(records: Iterable[EventLogRecord]) -> dict[str, TimingHistory]:
    """Return the past of every agent that the diary knows.

    Only starts that ended in readiness count; those that timed out or crashed tell nothing of the next.
    """
    starts: dict[str, deque[float]] = {}
    stops: dict[str, deque[float]] = {}
    for span in _iter_spans(records):
        kept = starts if span.kind == "start" else stops
        kept.setdefault(span.agent, deque(maxlen=MAX_SAMPLES)).append(span.seconds)
    names = dict.fromkeys([*starts, *stops])
    return {name: TimingHistory(tuple(starts.get(name, ())), tuple(stops.get(name, ()))) for name in names}


def is_spawn_request(record: EventLogRecord) -> bool:
    """Return whether the agent's process was ordered here; its birth, where no order was noted."""
    return record.kind == "spawn-requested" or (
        record.kind == "state" and record.state == State.STARTING and record.pid is not None
    )


def _iter_spans(records: Iterable[EventLogRecord]) -> Iterator[TimedSpan]:
    spawn_requested: dict[str, float] = {}
    stopping: dict[str, float] = {}
    for record in records:
        name = record.agent
        if is_spawn_request(record):
            # The birth follows the order; only the first of both begins the start.
            if record.kind == "spawn-requested" or name not in spawn_requested:
                spawn_requested[name] = record.mono_s
        elif record.kind == "adopted":
            spawn_requested.pop(name, None)
        elif record.kind == "state":
            requested_s = spawn_requested.pop(name, None) if record.state != State.STARTING else None
            if requested_s is not None and record.state in _READY and record.mono_s >= requested_s:
                yield TimedSpan(name, "start", record.mono_s - requested_s)
            if record.state == State.STOPPING:
                stopping.setdefault(name, record.mono_s)
            elif name in stopping:
                ended_s = record.mono_s - stopping.pop(name)
                if ended_s >= 0:  # below zero: another boot
                    yield TimedSpan(name, "stop", ended_s)


class DurationEstimate(msgspec.Struct, frozen=True):
    """How long a start or a stop will take: the median of `measured` earlier ones, 0 for a default."""

    seconds: float
    sample_count: int


# What a start is taken for that no agent of the fleet has ever shown.
DEFAULT_START_S = 1.0
# And a stop.
DEFAULT_STOP_S = 0.1


def estimate_starts(
    names: Iterable[str], history: Mapping[str, TimingHistory]
) -> dict[str, DurationEstimate]:
    """Return what the start of each agent will take.

    One that was never measured is taken for the median of those that were, without any for `DEFAULT_START_S`.
    """
    names = list(names)
    known = [
        start_s for name in names if name in history and (start_s := history[name].median_start_s) is not None
    ]
    default_s = median(known) if known else DEFAULT_START_S
    return {name: _estimate_start(history.get(name, TimingHistory()), default_s) for name in names}


def estimate_stop(history: TimingHistory) -> DurationEstimate:
    """Return what the stop of an agent will take; `DEFAULT_STOP_S` when it was never measured."""
    return DurationEstimate(
        DEFAULT_STOP_S if history.median_stop_s is None else history.median_stop_s, len(history.stops_s)
    )


def _estimate_start(history: TimingHistory, default_s: float) -> DurationEstimate:
    return DurationEstimate(
        default_s if history.median_start_s is None else history.median_start_s, len(history.starts_s)
    )
