"""The content of a report as data, which the Markdown and HTML renderers use."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from argosy.fleet.quantities import format_count, format_size
from argosy.track.measurement_ledger import MeasurementLedger
from argosy.track.metric_status import MetricStatus, ObjectiveStatus, Status, due_date, is_met
from argosy.track.track_spec import Metric, Track

STATUS_ORDER: tuple[Status, ...] = (
    "achieved",
    "measured",
    "on track",
    "at risk",
    "regressed",
    "stale",
    "unknown",
    "unproven",
)
_PRIORITIES = {"high": 0, "medium": 1, "low": 2}
_MAX_TREND_VALUES = 12
_SHORT_COMMIT = 9


class TableCell(msgspec.Struct, frozen=True):
    """A table cell. status: of a status cell. series: the values of a trend cell."""

    text: str
    status: str = ""
    series: tuple[float, ...] = ()


class ReportSection(msgspec.Struct, frozen=True, kw_only=True):
    """A section: paragraphs, then a table, then a list."""

    title: str
    paragraphs: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    rows: tuple[tuple[TableCell, ...], ...] = ()
    items: tuple[str, ...] = ()


class TrackReport(msgspec.Struct, frozen=True):
    """A report."""

    title: str
    lead: tuple[str, ...]
    sections: tuple[ReportSection, ...]


def make_report(
    track: Track, objective_statuses: Sequence[ObjectiveStatus], ledger: MeasurementLedger
) -> TrackReport:
    """Return the report of a tracker."""
    parts = (
        _objectives(objective_statuses),
        _impact(objective_statuses),
        _metrics(objective_statuses),
        _roadmap(track, objective_statuses),
        _achievements(objective_statuses),
        _next_actions(objective_statuses),
        _evidence(objective_statuses, ledger),
    )
    lead = [summarize(objective_statuses)]
    if track.about:
        lead.append(" ".join(track.about.split()))
    return TrackReport(track.title, tuple(lead), tuple(part for part in parts if part is not None))


def summarize(objective_statuses: Sequence[ObjectiveStatus]) -> str:
    """Return a summary line that counts each objective and each metric once."""
    metrics = _metric_statuses(objective_statuses)
    objective_counts = _format_counts(each.status for each in objective_statuses)
    metric_counts = _format_counts(each.status for each in metrics)
    return (
        f"{format_count(len(objective_statuses), 'objective')}: {objective_counts}; "
        f"{format_count(len(metrics), 'metric')}: {metric_counts}."
    )


def _format_counts(statuses: Iterable[Status]) -> str:
    counts = Counter(statuses)
    return ", ".join(f"{counts[status]} {status}" for status in STATUS_ORDER if counts[status])


def _objectives(objective_statuses: Sequence[ObjectiveStatus]) -> ReportSection:
    rows = []
    for objective_status in objective_statuses:
        evidence = "; ".join(_current_text(each) for each in objective_status.metric_statuses)
        claims = "; ".join(
            f"“{each.claim.text}” ({each.claim.source}): **{each.verdict}**, {each.because}"
            for each in objective_status.claims
        )
        rows.append(
            (
                TableCell(objective_status.objective.title),
                TableCell(objective_status.status, status=objective_status.status),
                TableCell(evidence),
                TableCell(claims or "none"),
            )
        )
    return ReportSection(
        title="Objectives",
        header=("objective", "status", "measured", "claimed"),
        rows=tuple(rows),
    )


def _current_text(metric_status: MetricStatus) -> str:
    name = _short_name(metric_status.metric)
    if metric_status.current is None:
        return f"{name}: {metric_status.status}"
    value = format_value(metric_status.current, metric_status.metric.unit)
    return f"{name}: {value}{_status_suffix(metric_status)}"


def _status_suffix(metric_status: MetricStatus) -> str:
    return f" ({metric_status.status})" if metric_status.status in ("stale", "unproven") else ""


def _impact(objective_statuses: Sequence[ObjectiveStatus]) -> ReportSection | None:
    rows = []
    for metric_status in _metric_statuses(objective_statuses):
        if (
            metric_status.baseline is None
            or metric_status.current is None
            or metric_status.metric.measure is None
        ):
            continue
        if metric_status.status == "stale":
            continue
        metric = metric_status.metric
        rows.append(
            (
                TableCell(_metric_title(objective_statuses, metric)),
                TableCell(_baseline_text(metric_status)),
                TableCell(format_value(metric_status.current, metric.unit)),
                TableCell(_change(metric_status.baseline, metric_status.current)),
            )
        )
    if not rows:
        return None
    return ReportSection(
        title="Total impact",
        paragraphs=("Current values against their baselines. *Stated* baselines were not measured.",),
        header=("what", "before", "now", "change"),
        rows=tuple(rows),
    )


def _change(before: float, now: float) -> str:
    if before == now:
        return "none"
    if before == 0:
        return f"{now - before:+g}"
    share = (now - before) / abs(before) * 100
    if now and before and not 0.5 <= now / before <= 2:
        factor = now / before if now > before else before / now
        return f"{share:+.1f} % ({factor:.3g} times {'more' if now > before else 'less'})"
    return f"{share:+.1f} %"


def _metrics(objective_statuses: Sequence[ObjectiveStatus]) -> ReportSection:
    rows = []
    for metric_status in _metric_statuses(objective_statuses):
        metric = metric_status.metric
        values = tuple(
            one.value for one in metric_status.history[-_MAX_TREND_VALUES:] if one.value is not None
        )
        rows.append(
            (
                TableCell(metric.name),
                TableCell(_baseline_text(metric_status)),
                TableCell(_current(metric_status)),
                TableCell(_target(metric)),
                TableCell(metric_status.status, status=metric_status.status),
                TableCell("" if len(values) < 2 else " ", series=values if len(values) > 1 else ()),
                TableCell(metric_status.because),
            )
        )
    return ReportSection(
        title="Success metrics",
        header=("metric", "baseline", "current", "target", "status", "trend", "because"),
        rows=tuple(rows),
    )


def _current(metric_status: MetricStatus) -> str:
    if metric_status.current is None:
        return "unknown"
    text = format_value(metric_status.current, metric_status.metric.unit)
    record = metric_status.record
    if record is not None and len(record.values) > 1:
        text += (
            f" ± {format_value(record.spread, metric_status.metric.unit)} (median of {len(record.values)})"
        )
    return text


def _baseline_text(metric_status: MetricStatus) -> str:
    baseline = metric_status.metric.baseline
    if baseline is None:
        return "none"
    if metric_status.baseline is None:
        return "unknown"
    text = format_value(metric_status.baseline, metric_status.metric.unit)
    if baseline.stated is not None:
        return f"{text} (*stated*{f', {baseline.source}' if baseline.source else ''})"
    return f"{text} at {baseline.commit[:_SHORT_COMMIT]}" if baseline.commit else text


def _target(metric: Metric) -> str:
    if metric.target is None:
        return "none"
    return f"{'≤' if metric.better == 'lower' else '≥'} {format_value(metric.target, metric.unit)}"


def _roadmap(track: Track, objective_statuses: Sequence[ObjectiveStatus]) -> ReportSection | None:
    slotted = [each for each in objective_statuses if each.objective.weeks is not None]
    if not slotted or not track.start:
        return None
    start = datetime.date.fromisoformat(track.start)
    rows = []
    for objective_status in sorted(
        slotted, key=lambda each: (each.objective.weeks or (0, 0), each.objective.name)
    ):
        first, last = objective_status.objective.weeks or (0, 0)
        weeks = f"{first}" if first == last else f"{first} to {last}"
        begins = start + datetime.timedelta(days=7 * (first - 1))
        rows.append(
            (
                TableCell(weeks),
                TableCell(f"{begins} to {due_date(track, objective_status.objective)}"),
                TableCell(objective_status.objective.title),
                TableCell(objective_status.objective.owner or "none"),
                TableCell(objective_status.status, status=objective_status.status),
            )
        )
    return ReportSection(
        title="Roadmap", header=("week", "dates", "objective", "owner", "status"), rows=tuple(rows)
    )


def _achievements(objective_statuses: Sequence[ObjectiveStatus]) -> ReportSection | None:
    items = []
    for objective_status in objective_statuses:
        for metric_status in objective_status.metric_statuses:
            record = metric_status.record
            if metric_status.status != "achieved" or record is None or metric_status.current is None:
                continue
            metric = metric_status.metric
            before = "" if metric_status.baseline is None else f"from {_baseline_text(metric_status)} "
            items.append(
                f"{objective_status.objective.title}: {_short_name(metric)} {before}to "
                f"{format_value(metric_status.current, metric.unit)}, target {_target(metric)}."
            )
    if not items:
        return None
    return ReportSection(title="Key achievements", items=tuple(items))


def _next_actions(objective_statuses: Sequence[ObjectiveStatus]) -> ReportSection | None:
    ranked: list[tuple[tuple[float, float, str], str]] = []
    for objective_status in objective_statuses:
        objective = objective_status.objective
        for metric_status in objective_status.metric_statuses:
            action = _next_action(metric_status)
            if not action:
                continue
            rank = (
                _PRIORITIES[objective.priority],
                -_remaining_share(metric_status) / objective.effort_hours,
                metric_status.metric.name,
            )
            owner = f", {objective.owner}" if objective.owner else ""
            effort = _effort(objective.effort_hours)
            ranked.append((rank, f"{action} ({objective.priority} priority, {effort}{owner})"))
    if not ranked:
        return None
    return ReportSection(
        title="Next actions",
        paragraphs=("By priority, then by remaining share of the target per effort.",),
        items=tuple(text for _, text in sorted(ranked)),
    )


def _next_action(metric_status: MetricStatus) -> str:
    metric = metric_status.metric
    match metric_status.status:
        case "unproven":
            return f"add a measure to `{metric.name}`"
        case "unknown":
            return f"measure `{metric.name}`: {metric_status.because}"
        case "stale":
            return f"measure `{metric.name}` again: `argosy track run`"
        case "regressed":
            return f"find out why `{metric.name}` is {metric_status.because}"
        case "at risk" | "on track":
            assert metric_status.current is not None
            current = format_value(metric_status.current, metric.unit)
            return f"bring `{metric.name}` from {current} to {_target(metric)}: {metric_status.because}"
    return ""


def _remaining_share(metric_status: MetricStatus) -> float:
    """Return the remaining share of the way from the baseline to the target; 1 if unknown."""
    metric = metric_status.metric
    if metric_status.current is None or metric.target is None:
        return 1.0
    if is_met(metric, metric_status.current):
        return 0.0
    distance = abs(
        (metric_status.baseline if metric_status.baseline is not None else metric_status.current)
        - metric.target
    )
    return min(abs(metric_status.current - metric.target) / (distance or 1.0), 1.0)


def _effort(hours: float) -> str:
    return f"{hours / 40:g} w" if hours >= 40 else f"{hours / 8:g} d" if hours >= 8 else f"{hours:g} h"


def _evidence(objective_statuses: Sequence[ObjectiveStatus], ledger: MeasurementLedger) -> ReportSection:
    rows = []
    machines: dict[str, str] = {}
    for metric_status in _metric_statuses(objective_statuses):
        for record, role in ((metric_status.record, "current"), (metric_status.baseline_record, "baseline")):
            if record is None:
                continue
            machines[record.machine_id] = record.machine
            commit = (record.commit[:_SHORT_COMMIT] or "no commit") + ("+" if record.is_dirty else "")
            rows.append(
                (
                    TableCell(record.metric + (" (baseline)" if role == "baseline" else "")),
                    TableCell(f"`{record.method}`"),
                    TableCell(commit),
                    TableCell(record.at),
                    TableCell(record.machine_id),
                    TableCell(f"{max(len(record.values), 1)}"),
                    TableCell(f"{record.seconds:g} s"),
                )
            )
    notes = [f"`{one.metric}` accepted as it was on {one.at}: {one.why}" for one in ledger.accepted]
    notes += [f"machine {name}: {text}" for name, text in sorted(machines.items())]
    notes += [f"{fault.where}: {fault.message}" for fault in ledger.damaged]
    return ReportSection(
        title="Evidence",
        paragraphs=(
            "Each value with the method that reproduces it (`argosy track run`); a `+` after a commit "
            "means that files differed from it.",
        ),
        header=("metric", "method", "commit", "measured", "machine", "n", "took"),
        rows=tuple(rows),
        items=tuple(notes),
    )


def _metric_statuses(objective_statuses: Sequence[ObjectiveStatus]) -> list[MetricStatus]:
    return [each for objective_status in objective_statuses for each in objective_status.metric_statuses]


def _metric_title(objective_statuses: Sequence[ObjectiveStatus], metric: Metric) -> str:
    name = metric.name.partition(".")[0]
    title = next(each.objective.title for each in objective_statuses if each.objective.name == name)
    return f"{title}: {_short_name(metric)}"


def _short_name(metric: Metric) -> str:
    return metric.name.partition(".")[2]


def format_value(value: float, unit: str) -> str:
    """Return a value with its unit as text."""
    if unit == "bytes":
        return format_size(round(value)) if value >= 0 else f"-{format_size(round(-value))}"
    text = f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.4g}"
    return f"{text} {unit}".rstrip()
