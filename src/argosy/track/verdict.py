"""The status words: computed from records, never written by hand.

unproven     no measure: a figure that somebody stated
unknown      never measured, or the last try gave no value
stale        measured, but what it hangs on has changed since
regressed    worse than its best, or than its baseline, by more than tolerance and noise
achieved     the target is met
on track     the trend of at least three measures meets the target in time
at risk      none of these
measured     there is no target, and it is no worse than it was
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from argosy.track.ledger import Ledger, Record
from argosy.track.provenance import machine_kind
from argosy.track.spec import Claim, Metric, Objective, Track
from argosy.track.trend import LEAST_POINTS, reached_on

Status = Literal["unproven", "unknown", "stale", "regressed", "achieved", "on track", "at risk", "measured"]
# The worst comes first; an objective is as its worst metric.
_WORST: tuple[Status, ...] = (
    "regressed",
    "unknown",
    "stale",
    "unproven",
    "at risk",
    "on track",
    "measured",
    "achieved",
)
_NOISE = 3.0


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A metric as it stands.

    current: the value that counts, None when it is unknown. record: the newest one, with a value or without.
    best: the best record to hold it against. because: what the status rests on, in words. history: all
    records with a value, oldest first.
    """

    metric: Metric
    status: Status
    because: str
    current: float | None
    record: Record | None
    baseline: float | None
    baseline_record: Record | None
    best: Record | None
    history: tuple[Record, ...]


class Heard(msgspec.Struct, frozen=True):
    """A claim held against what is measured. verdict: confirmed, refuted or unproven."""

    claim: Claim
    verdict: Literal["confirmed", "refuted", "unproven"]
    because: str


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """An objective as it stands."""

    objective: Objective
    status: Status
    standings: tuple[Standing, ...]
    claims: tuple[Heard, ...]


Freshness = Callable[[Metric, Record], bool]


def judge(track: Track, ledger: Ledger, is_fresh: Freshness) -> tuple[Outlook, ...]:
    """Return how each objective stands. is_fresh: whether a record still is of the tree as it is."""
    return tuple(_outlook(track, objective, ledger, is_fresh) for objective in track.objectives)


def _outlook(track: Track, objective: Objective, ledger: Ledger, is_fresh: Freshness) -> Outlook:
    end = end_of(track, objective)
    standings = tuple(stand(metric, ledger, is_fresh, end) for metric in objective.metrics)
    words = {standing.status for standing in standings}
    by_name = {standing.metric.name.partition(".")[2]: standing for standing in standings}
    return Outlook(
        objective=objective,
        status=next((word for word in _WORST if word in words), "unknown"),
        standings=standings,
        claims=tuple(_hear(claim, by_name[claim.metric]) for claim in objective.claims),
    )


def end_of(track: Track, objective: Objective) -> datetime.date | None:
    """Return the last day of an objective's slot, None without one."""
    if objective.weeks is None or not track.start:
        return None
    start = datetime.date.fromisoformat(track.start)
    return start + datetime.timedelta(days=7 * objective.weeks[1] - 1)


def stand(metric: Metric, ledger: Ledger, is_fresh: Freshness, end: datetime.date | None) -> Standing:
    """Return how a metric stands. end: the day by which its target is to be met."""
    records = ledger.of(metric.name, "current")
    record = records[-1] if records else None
    good = tuple(one for one in records if one.value is not None)
    baseline, baseline_record = _baseline(metric, ledger)
    status, because = _status(metric, ledger, record, good, baseline, is_fresh, end)
    is_known = record is not None and record.value is not None
    return Standing(
        metric=metric,
        status=status,
        because=because,
        current=metric.stated if metric.measure is None else (record.value if is_known and record else None),
        record=record,
        baseline=baseline,
        baseline_record=baseline_record,
        best=best_of(metric, ledger, record),
        history=good,
    )


def _baseline(metric: Metric, ledger: Ledger) -> tuple[float | None, Record | None]:
    if metric.baseline is None:
        return None, None
    if metric.baseline.stated is not None:
        return metric.baseline.stated, None
    records = ledger.of(metric.name, "baseline")
    return (records[-1].value, records[-1]) if records else (None, None)


def _status(
    metric: Metric,
    ledger: Ledger,
    record: Record | None,
    good: Sequence[Record],
    baseline: float | None,
    is_fresh: Freshness,
    end: datetime.date | None,
) -> tuple[Status, str]:
    if metric.measure is None:
        return "unproven", f"stated by {metric.source}" if metric.source else "stated"
    if record is None:
        return "unknown", "never measured"
    if record.value is None:
        return "unknown", record.trouble
    if not is_fresh(metric, record):
        return "stale", "what it hangs on has changed since"
    best = best_of(metric, ledger, record)
    if best is not None and best.value is not None and (by := worse_by(metric, record, best)) > 0:
        return "regressed", f"{by:g} worse than its best, {best.value:g} at {best.commit[:9] or best.at}"
    if metric.target is not None and is_met(metric, record.value):
        return "achieved", "the target is met"
    if baseline is not None and _lag(metric, record.value, baseline) > metric.tolerance.of(baseline):
        return "regressed", f"worse than the baseline, {baseline:g}"
    if metric.target is None:
        return "measured", "no target"
    return _projected(good, metric.target, end)


def _projected(good: Sequence[Record], target: float, end: datetime.date | None) -> tuple[Status, str]:
    points = [(_epoch(one.at), one.value) for one in good if one.value is not None]
    if len(points) < LEAST_POINTS:
        return "at risk", f"no trend yet from {len(points)} of {LEAST_POINTS} measures"
    reached = reached_on(points, target)
    if reached is None:
        return "at risk", f"the trend of {len(points)} measures does not lead to the target"
    try:
        day = datetime.datetime.fromtimestamp(reached, datetime.UTC).date()
    except (OverflowError, ValueError, OSError):
        return "at risk", f"the trend of {len(points)} measures leads to the target in no time to speak of"
    told = f"the trend of {len(points)} measures meets it on {day}"
    if end is None:
        return "on track", told
    return ("on track" if day <= end else "at risk"), f"{told}; due on {end}"


def is_met(metric: Metric, value: float) -> bool:
    """Return whether a value meets the metric's target."""
    assert metric.target is not None
    return value <= metric.target if metric.better == "lower" else value >= metric.target


def best_of(metric: Metric, ledger: Ledger, record: Record | None) -> Record | None:
    """Return the record to hold `record` against: the best of earlier ones that can be compared.

    Got in the same way, since the last value that somebody accepted, and on the same kind of machine where
    the value hangs on it. None when there is no other.
    """
    since = max((one.at for one in ledger.accepted if one.metric == metric.name), default="")
    here = record.machine_id if record is not None else machine_kind().id
    method = metric.measure.method() if metric.measure is not None else ""
    known = [
        one
        for one in ledger.of(metric.name, "current")
        if one.value is not None
        and one != record
        and one.method == method
        and (record is None or one.at <= record.at)
        and one.at >= since
        and (metric.is_portable or one.machine_id == here)
    ]
    sign = 1 if metric.better == "lower" else -1
    return min(known, key=lambda one: sign * (one.value or 0.0), default=None)


def worse_by(metric: Metric, record: Record, best: Record) -> float:
    """Return by how much a record is worse than the best beyond tolerance and noise; 0 when it is not."""
    if record.value is None or best.value is None:
        return 0.0
    lag = _lag(metric, record.value, best.value)
    allowed = max(metric.tolerance.of(best.value), _NOISE * max(record.spread, best.spread))
    return lag if lag > allowed else 0.0


def _lag(metric: Metric, value: float, other: float) -> float:
    return value - other if metric.better == "lower" else other - value


def _hear(claim: Claim, standing: Standing) -> Heard:
    metric = standing.metric
    if standing.status in ("unknown", "unproven", "stale") or standing.current is None:
        return Heard(claim, "unproven", f"{standing.status}: {standing.because}")
    wanted = claim.value if claim.value is not None else metric.target
    assert wanted is not None
    lag = _lag(metric, standing.current, wanted)
    holds = lag <= metric.tolerance.of(wanted)
    return Heard(
        claim,
        "confirmed" if holds else "refuted",
        f"claimed {wanted:g}, measured {standing.current:g}",
    )


def _epoch(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()
