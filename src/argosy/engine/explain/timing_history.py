"""How long the last starts and stops of each agent took, read from the event log."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from statistics import median
from typing import NamedTuple

import msgspec

from argosy.engine.protocol.state_machine import READY_STATES, State
from argosy.engine.state.event_log import EventLogRecord

# The number of starts kept: enough for a median, few enough to follow a change of the code.
MAX_SAMPLES = 9

_READY = frozenset(state.value for state in READY_STATES)


class TimingHistory(msgspec.Struct, frozen=True):
    """Seconds from the spawn request to readiness of the last starts, and of each stop; oldest first."""

    starts_s: tuple[float, ...] = ()
    stops_s: tuple[float, ...] = ()

    @property
    def median_start_s(self) -> float | None:
        """The median of the last starts, None without any."""
        return median(self.starts_s) if self.starts_s else None

    @property
    def median_stop_s(self) -> float | None:
        """The median of the last stops, None without any."""
        return median(self.stops_s) if self.stops_s else None


class TimedSpan(NamedTuple):
    """Seconds that one start or stop of an agent took."""

    agent: str
    kind: str
    seconds: float


def load_timing_history(records: Iterable[EventLogRecord]) -> dict[str, TimingHistory]:
    """Return the history of every agent in the event log.

    Only starts that ended in readiness count; a start that timed out or crashed does not predict the next.
    """
    starts: dict[str, deque[float]] = {}
    stops: dict[str, deque[float]] = {}
    for span in _iter_spans(records):
        kept = starts if span.kind == "start" else stops
        kept.setdefault(span.agent, deque(maxlen=MAX_SAMPLES)).append(span.seconds)
    names = dict.fromkeys([*starts, *stops])
    return {name: TimingHistory(tuple(starts.get(name, ())), tuple(stops.get(name, ()))) for name in names}


def is_spawn_request(record: EventLogRecord) -> bool:
    """Return whether the record is a spawn request; or the spawn, if no request was recorded."""
    return record.kind == "spawn-requested" or (
        record.kind == "state" and record.state == State.STARTING and record.pid is not None
    )


def _iter_spans(records: Iterable[EventLogRecord]) -> Iterator[TimedSpan]:
    spawn_requested: dict[str, float] = {}
    stopping: dict[str, float] = {}
    for record in records:
        name = record.agent
        if is_spawn_request(record):
            # The spawn follows the request; the start is measured from the first of them.
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
                if ended_s >= 0:  # negative after a reboot
                    yield TimedSpan(name, "stop", ended_s)


class DurationEstimate(msgspec.Struct, frozen=True):
    """An estimated duration: the median of `sample_count` earlier ones, or a default when that is 0."""

    seconds: float
    sample_count: int


# The estimate for a start when no agent of the fleet was ever measured.
DEFAULT_START_S = 1.0
# The estimate for a stop that was never measured.
DEFAULT_STOP_S = 0.1


def estimate_starts(
    names: Iterable[str], history: Mapping[str, TimingHistory]
) -> dict[str, DurationEstimate]:
    """Return the estimated duration of each agent's start.

    An agent without measurements gets the median of the others, or `DEFAULT_START_S` if there are none.
    """
    names = list(names)
    known = [
        start_s for name in names if name in history and (start_s := history[name].median_start_s) is not None
    ]
    default_s = median(known) if known else DEFAULT_START_S
    return {name: _estimate(history[name].starts_s if name in history else (), default_s) for name in names}


def estimate_stop(history: TimingHistory) -> DurationEstimate:
    """Return the estimated duration of an agent's stop; `DEFAULT_STOP_S` if it was never measured."""
    return _estimate(history.stops_s, DEFAULT_STOP_S)


def _estimate(samples_s: tuple[float, ...], default_s: float) -> DurationEstimate:
    return DurationEstimate(median(samples_s) if samples_s else default_s, len(samples_s))
