"""Metric status: the status that records give, and verdicts on claims."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.track import load_track
from argosy.track.measurement_ledger import AcceptedRegression, MeasurementLedger, MeasurementRecord
from argosy.track.metric_status import ObjectiveStatus, evaluate
from argosy.track.track_spec import Metric, Track
from argosy.track.trend import predicted_time, slope_per_day, sparkline, spread_of
from track.test_measurement_ledger import record

DAYS = [f"2026-11-{day:02}T10:00:00Z" for day in range(1, 29)]


def tracked(metric: str, *, slot: str = "4", claimed: str = "", portable: bool = True) -> Track:
    way = f"run: 'true', read: {{exit: true}}, portable: {str(portable).lower()}"
    text = (
        f"track: t\nstart: 2026-11-02\nobjectives: {{o: {{title: t, slot: {slot}, {claimed} "
        f"metrics: {{m: {{{way}, {metric}}}}}}}}}\n"
    )
    return load_track("track.yaml", text)


def judged(
    track: Track, records: Sequence[MeasurementRecord], accepted: Sequence[AcceptedRegression] = ()
) -> ObjectiveStatus:
    def is_fresh(metric: Metric, one: MeasurementRecord) -> bool:
        return one.inputs.inside == "i"

    (objective_status,) = evaluate(track, MeasurementLedger(tuple(records), tuple(accepted)), is_fresh)
    return objective_status


def series(*values: float | None) -> list[MeasurementRecord]:
    return [record(value, at) for value, at in zip(values, DAYS, strict=False)]


@pytest.mark.parametrize(
    ("metric", "records", "status", "because"),
    [
        ("target: 5", [], "unknown", "never measured"),
        ("target: 5", [*series(4), record(None, DAYS[1], trouble="it broke")], "unknown", "it broke"),
        ("target: 5", series(5), "achieved", "the target is met"),
        ("target: 5, better: higher", series(4.9), "at risk", "no trend yet: 1 of 3 records"),
        ("target: 5", series(9, 8, 7), "on track", "meets it on 2026-11-05; due on 2026-11-29"),
        ("target: 5", series(9, 8.99, 8.98), "at risk", "meets it on 2027-12-06; due on 2026-11-29"),
        ("target: 5", series(9, 9, 9), "at risk", "does not reach the target"),
        ("target: 5", series(3, 4), "regressed", "1 worse than its best, 3"),
        ("target: 5, tolerance: 1", series(3, 4), "achieved", "the target is met"),
        ("target: 5, tolerance: 50 %", series(3, 4.4), "achieved", "the target is met"),
        ("target: 5, baseline: {stated: 8}", series(9), "regressed", "worse than the baseline, 8"),
        ("unit: s", series(3), "measured", "no target"),
    ],
)
def test_metric_status_follows_from_records(
    metric: str, records: list[MeasurementRecord], status: str, because: str
) -> None:
    (metric_result,) = judged(tracked(metric), records).metric_statuses
    assert metric_result.status == status
    assert because in metric_result.because
    assert (metric_result.current is None) == (status == "unknown")


def test_change_within_spread_is_no_regression() -> None:
    calm, noisy = record(10.0, DAYS[0], spread=0.1), record(11.0, DAYS[1], spread=0.5)
    assert judged(tracked("target: 20"), [calm, noisy]).status == "achieved"
    assert judged(tracked("target: 20"), [calm, record(11.0, DAYS[1], spread=0.2)]).status == "regressed"


def test_metric_is_stale_after_input_change() -> None:
    from argosy.track.inputs import InputDigests  # noqa: PLC0415

    assert judged(tracked("target: 5"), [record(3.0, inputs=InputDigests("another"))]).status == "stale"


def test_records_of_other_machine_count_only_if_portable() -> None:
    records = [record(3.0, DAYS[0], machine_id="fast"), record(4.0, DAYS[1])]
    assert judged(tracked("target: 5", portable=False), records).status == "achieved"
    assert judged(tracked("target: 5"), records).status == "regressed"


def test_accepted_regression_becomes_new_best() -> None:
    records = series(3, 4)
    accepted = AcceptedRegression(metric="o.m", why="a new feature", at=DAYS[1])
    assert judged(tracked("target: 5"), records, [accepted]).status == "achieved"
    assert judged(tracked("target: 5"), series(3, 4, 5), [accepted]).status == "regressed"


CLAIM = "claimed: [{text: it is so, source: somebody%s}],"


@pytest.mark.parametrize(
    ("value", "records", "verdict"),
    [
        (", value: 20", series(20), "confirmed"),
        (", value: 20", series(21), "refuted"),
        ("", series(5), "confirmed"),
        ("", series(6), "refuted"),
        (", value: 20", [], "unproven"),
        (", value: 20", [record(None, trouble="broken")], "unproven"),
    ],
)
def test_claim_verdict_follows_from_measurement(
    value: str, records: list[MeasurementRecord], verdict: str
) -> None:
    objective_status = judged(tracked("target: 5", claimed=CLAIM % value), records)
    assert [claim.verdict for claim in objective_status.claims] == [verdict]


def test_objective_has_status_of_its_worst_metric() -> None:
    metrics = "{a: {stated: 1}, b: {run: 'true', read: {exit: true}}}"
    text = f"track: t\nobjectives: {{o: {{title: t, metrics: {metrics}}}}}\n"
    objective_status = judged(load_track("track.yaml", text), [])
    assert [metric_result.status for metric_result in objective_status.metric_statuses] == [
        "unproven",
        "unknown",
    ]
    assert objective_status.status == "unknown"


POINTS = st.lists(
    st.tuples(st.integers(0, 10**9), st.floats(-1e6, 1e6)),
    min_size=3,
    max_size=12,
    unique_by=lambda point: point[0],
)


@given(st.integers(-1000, 1000), st.integers(-1000, 1000), st.integers(3, 9))
def test_slope_and_prediction_are_exact_for_line(slope: int, start: int, count: int) -> None:
    points = [(day * 86400.0, start + slope * float(day)) for day in range(count)]
    found = slope_per_day(points)
    assert found == pytest.approx(slope)
    target = start + slope * 20.0
    reached = predicted_time(points, target)
    assert (reached is None) == (slope == 0)
    if reached is not None:
        assert datetime.datetime.fromtimestamp(reached, datetime.UTC).date() == datetime.date(1970, 1, 21)


@given(POINTS, st.floats(-1e6, 1e6))
def test_predicted_time_is_never_in_past(points: list[tuple[float, float]], target: float) -> None:
    ordered = sorted(points)
    reached = predicted_time(ordered, target)
    assert reached is None or reached >= ordered[-1][0]


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30))
def test_sparkline_has_bar_for_each_recent_value(values: list[float]) -> None:
    line = sparkline(values)
    assert len(line) == min(len(values), 12)
    shown = values[-12:]
    if min(shown) != max(shown):
        assert line[shown.index(max(shown))] == "█"
        assert line[shown.index(min(shown))] == "▁"


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9), st.floats(-1e3, 1e3))
def test_spread_is_independent_of_offset(values: list[float], shift: float) -> None:
    moved = [value + shift for value in values]
    assert spread_of(values) >= 0
    assert spread_of(moved) == pytest.approx(spread_of(values), abs=1e-6)
