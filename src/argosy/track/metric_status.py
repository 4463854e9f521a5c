"""The status of metrics and objectives, computed from the records.

unproven     no measure: a value stated by a person
unknown      never measured, or the last attempt gave no value
stale        measured, but its inputs have changed since
regressed    worse than its best or its baseline, by more than tolerance and noise
achieved     the target is met
on track     the trend of at least three records meets the target in time
at risk      none of these
measured     no target, and not worse than before
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from argosy.track.measurement_ledger import MeasurementLedger, MeasurementRecord
from argosy.track.provenance import identify_machine
from argosy.track.track_spec import Metric, Objective, ObjectiveClaim, Track
from argosy.track.trend import MIN_POINTS, predicted_time

Status = Literal["unproven", "unknown", "stale", "regressed", "achieved", "on track", "at risk", "measured"]
# An objective has the status of its worst metric.
_WORST_FIRST: tuple[Status, ...] = (
    "regressed",
    "unknown",
    "stale",
    "unproven",
    "at risk",
    "on track",
    "measured",
    "achieved",
)
_NOISE_FACTOR = 3.0


class MetricStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The status of a metric.

    because: the reason for the status, as text. current: the current value, None if unknown. record: the
    newest record, with a value or without. best: the best comparable record. history: all records with a
    value, oldest first.
    """

    metric: Metric
    status: Status
    because: str
    current: float | None
    record: MeasurementRecord | None
    baseline: float | None
    baseline_record: MeasurementRecord | None
    best: MeasurementRecord | None
    history: tuple[MeasurementRecord, ...]


class ObjectiveClaimVerdict(msgspec.Struct, frozen=True):
    """A claim compared with the measured value."""

    claim: ObjectiveClaim
    verdict: Literal["confirmed", "refuted", "unproven"]
    because: str


class ObjectiveStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The status of an objective."""

    objective: Objective
    status: Status
    metric_statuses: tuple[MetricStatus, ...]
    claims: tuple[ObjectiveClaimVerdict, ...]


IsFresh = Callable[[Metric, MeasurementRecord], bool]


def evaluate(track: Track, ledger: MeasurementLedger, is_fresh: IsFresh) -> tuple[ObjectiveStatus, ...]:
    """Return the status of each objective. is_fresh: whether a record is valid for the current inputs."""
    return tuple(_objective_status(track, objective, ledger, is_fresh) for objective in track.objectives)


def _objective_status(
    track: Track, objective: Objective, ledger: MeasurementLedger, is_fresh: IsFresh
) -> ObjectiveStatus:
    end = due_date(track, objective)
    metric_statuses = tuple(status_of(metric, ledger, is_fresh, end) for metric in objective.metrics)
    statuses = {each.status for each in metric_statuses}
    by_name = {each.metric.name.partition(".")[2]: each for each in metric_statuses}
    return ObjectiveStatus(
        objective=objective,
        status=next((word for word in _WORST_FIRST if word in statuses), "unknown"),
        metric_statuses=metric_statuses,
        claims=tuple(_claim_verdict(claim, by_name[claim.metric]) for claim in objective.claims),
    )


def due_date(track: Track, objective: Objective) -> datetime.date | None:
    """Return the last day of an objective's slot, None without one."""
    if objective.weeks is None or not track.start:
        return None
    start = datetime.date.fromisoformat(track.start)
    return start + datetime.timedelta(days=7 * objective.weeks[1] - 1)


def status_of(
    metric: Metric, ledger: MeasurementLedger, is_fresh: IsFresh, end: datetime.date | None
) -> MetricStatus:
    """Return the status of a metric. end: the day by which its target should be met."""
    records = ledger.of(metric.name, "current")
    record = records[-1] if records else None
    good = tuple(one for one in records if one.value is not None)
    baseline, baseline_record = _baseline_value(metric, ledger)
    status, because = _status_and_reason(metric, ledger, record, good, baseline, is_fresh, end)
    is_known = record is not None and record.value is not None
    return MetricStatus(
        metric=metric,
        status=status,
        because=because,
        current=metric.stated if metric.measure is None else (record.value if is_known and record else None),
        record=record,
        baseline=baseline,
        baseline_record=baseline_record,
        best=best_record(metric, ledger, record),
        history=good,
    )


def _baseline_value(
    metric: Metric, ledger: MeasurementLedger
) -> tuple[float | None, MeasurementRecord | None]:
    if metric.baseline is None:
        return None, None
    if metric.baseline.stated is not None:
        return metric.baseline.stated, None
    records = ledger.of(metric.name, "baseline")
    return (records[-1].value, records[-1]) if records else (None, None)


def _status_and_reason(
    metric: Metric,
    ledger: MeasurementLedger,
    record: MeasurementRecord | None,
    good: Sequence[MeasurementRecord],
    baseline: float | None,
    is_fresh: IsFresh,
    end: datetime.date | None,
) -> tuple[Status, str]:
    if metric.measure is None:
        return "unproven", f"stated by {metric.source}" if metric.source else "stated"
    if record is None:
        return "unknown", "never measured"
    if record.value is None:
        return "unknown", record.trouble
    if not is_fresh(metric, record):
        return "stale", "its inputs have changed since"
    best = best_record(metric, ledger, record)
    if best is not None and best.value is not None and (by := regression_of(metric, record, best)) > 0:
        return "regressed", f"{by:g} worse than its best, {best.value:g} at {best.commit[:9] or best.at}"
    if metric.target is not None and is_met(metric, record.value):
        return "achieved", "the target is met"
    if baseline is not None and _shortfall(metric, record.value, baseline) > metric.tolerance.around(
        baseline
    ):
        return "regressed", f"worse than the baseline, {baseline:g}"
    if metric.target is None:
        return "measured", "no target"
    return _trend_status(good, metric.target, end)


def _trend_status(
    good: Sequence[MeasurementRecord], target: float, end: datetime.date | None
) -> tuple[Status, str]:
    points = [(_epoch(one.at), one.value) for one in good if one.value is not None]
    if len(points) < MIN_POINTS:
        return "at risk", f"no trend yet: {len(points)} of {MIN_POINTS} records"
    reached = predicted_time(points, target)
    if reached is None:
        return "at risk", f"the trend of {len(points)} records does not reach the target"
    try:
        day = datetime.datetime.fromtimestamp(reached, datetime.UTC).date()
    except (OverflowError, ValueError, OSError):
        return "at risk", f"the trend of {len(points)} records reaches the target too far in the future"
    reason = f"the trend of {len(points)} records meets it on {day}"
    if end is None:
        return "on track", reason
    return ("on track" if day <= end else "at risk"), f"{reason}; due on {end}"


def is_met(metric: Metric, value: float) -> bool:
    """Return whether a value meets the metric's target."""
    assert metric.target is not None
    return value <= metric.target if metric.better == "lower" else value >= metric.target


def best_record(
    metric: Metric, ledger: MeasurementLedger, record: MeasurementRecord | None
) -> MeasurementRecord | None:
    """Return the best earlier record that `record` can be compared with, None if there is none.

    Comparable records have the same method, are not older than the last accepted value, and come from the
    same kind of machine unless the metric is portable.
    """
    since = max((one.at for one in ledger.accepted if one.metric == metric.name), default="")
    here = record.machine_id if record is not None else identify_machine().id
    method = metric.measure.description() if metric.measure is not None else ""
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


def regression_of(metric: Metric, record: MeasurementRecord, best: MeasurementRecord) -> float:
    """Return by how much a record is worse than the best; 0 within tolerance and noise."""
    if record.value is None or best.value is None:
        return 0.0
    shortfall = _shortfall(metric, record.value, best.value)
    allowed = max(metric.tolerance.around(best.value), _NOISE_FACTOR * max(record.spread, best.spread))
    return shortfall if shortfall > allowed else 0.0


def _shortfall(metric: Metric, value: float, other: float) -> float:
    return value - other if metric.better == "lower" else other - value


def _claim_verdict(claim: ObjectiveClaim, metric_status: MetricStatus) -> ObjectiveClaimVerdict:
    metric = metric_status.metric
    if metric_status.status in ("unknown", "unproven", "stale") or metric_status.current is None:
        return ObjectiveClaimVerdict(claim, "unproven", f"{metric_status.status}: {metric_status.because}")
    expected = claim.value if claim.value is not None else metric.target
    assert expected is not None
    shortfall = _shortfall(metric, metric_status.current, expected)
    holds = shortfall <= metric.tolerance.around(expected)
    return ObjectiveClaimVerdict(
        claim,
        "confirmed" if holds else "refuted",
        f"claimed {expected:g}, measured {metric_status.current:g}",
    )


def _epoch(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()
