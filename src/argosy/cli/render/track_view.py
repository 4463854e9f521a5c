"""Renders a tracker as text and as `track/1`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from argosy.cli.console import paint
from argosy.fault import Fault
from argosy.track.markdown_import import MarkdownTracker
from argosy.track.measurement_ledger import MeasurementRecord
from argosy.track.measurer import MeasurementJob
from argosy.track.metric_status import MetricStatus, ObjectiveStatus
from argosy.track.ratchet import Regression
from argosy.track.report_model import format_value, summarize

_COLOURS = {"achieved": "green", "on track": "green", "regressed": "red", "unknown": "red"}
_MAX_SHOWN = 10


def track_json(forecasts: Sequence[ObjectiveStatus]) -> dict[str, Any]:
    """Return `track/1`."""
    return {
        "argosy": "track/1",
        "metrics": [_metric_json(status) for forecast in forecasts for status in forecast.metric_statuses],
        "objectives": [_objective_json(forecast) for forecast in forecasts],
    }


def _metric_json(status: MetricStatus) -> dict[str, Any]:
    metric, record = status.metric, status.record
    return {
        "name": metric.name,
        "baseline": status.baseline,
        "current": status.current,
        "target": metric.target,
        "status": status.status,
        "method": metric.measure.description() if metric.measure is not None else "stated",
        "because": status.because,
        "unit": metric.unit,
        "better": metric.better,
        "best": status.best.value if status.best is not None else None,
        "n": max(len(record.values), 1) if record is not None and record.value is not None else 0,
        "spread": record.spread if record is not None else None,
        "commit": record.commit if record is not None else None,
        "at": record.at if record is not None else None,
        "machine": record.machine if record is not None else None,
    }


def _objective_json(forecast: ObjectiveStatus) -> dict[str, Any]:
    return {
        "name": forecast.objective.name,
        "title": forecast.objective.title,
        "status": forecast.status,
        "claims": [
            {
                "text": claim_verdict.claim.text,
                "source": claim_verdict.claim.source,
                "verdict": claim_verdict.verdict,
                "because": claim_verdict.because,
            }
            for claim_verdict in forecast.claims
        ],
    }


def check_json(
    forecasts: Sequence[ObjectiveStatus],
    regressions: Sequence[Regression],
    fixed: int,
    faults: Sequence[Fault],
    skipped: Sequence[MeasurementJob],
) -> dict[str, Any]:
    """Return `track/1` with the regressions."""
    return {
        **track_json(forecasts),
        "worse": [
            {
                "metric": one.metric,
                "because": one.because,
                "findings": [
                    {"path": item.path, "line": item.line, "code": item.code, "symbol": item.symbol}
                    for item in one.findings
                ],
            }
            for one in regressions
        ],
        "mended": fixed,
        "faults": [{"where": fault.where, "code": fault.code, "message": fault.message} for fault in faults],
        "not_measured": [job.display_name() for job in skipped],
    }


def render_run(
    forecasts: Sequence[ObjectiveStatus], records: Sequence[MeasurementRecord], *, historical: bool
) -> str:
    """Return the records of a run, and the status of every metric."""
    lines = []
    for record in records:
        if record.value is None:
            lines.append(f"{paint('unknown', 'red')}  {record.metric}: {record.trouble}")
            continue
        role = "" if record.role == "current" else f" ({record.role}, {record.commit[:9] or 'no commit'})"
        noise = (
            f" ± {format_value(record.spread, record.unit)} of {len(record.values)}" if record.values else ""
        )
        lines.append(f"{record.metric}{role}: {format_value(record.value, record.unit)}{noise}")
    if not records:
        lines.append("nothing was stale")
    if not historical:
        lines += ["", *_metric_rows(forecasts), "", summarize(forecasts)]
    return "\n".join(lines) + "\n"


def _metric_rows(forecasts: Sequence[ObjectiveStatus]) -> list[str]:
    statuses = [status for forecast in forecasts for status in forecast.metric_statuses]
    width = max(len(status.metric.name) for status in statuses)
    rows = []
    for metric_status in statuses:
        status_label = paint(f"{metric_status.status:<9}", _COLOURS.get(metric_status.status, "dim"))
        current = (
            "unknown"
            if metric_status.current is None
            else format_value(metric_status.current, metric_status.metric.unit)
        )
        rows.append(
            f"{status_label}  {metric_status.metric.name:<{width}}  {current}  {metric_status.because}"
        )
    return rows


def render_check(
    forecasts: Sequence[ObjectiveStatus],
    regressions: Sequence[Regression],
    fixed: int,
    faults: Sequence[Fault],
    skipped: Sequence[MeasurementJob],
) -> str:
    """Return the regressions, the fixed findings, and the metrics that were not measured."""
    lines = []
    for one in regressions:
        lines.append(f"{paint('worse', 'red')}  {one.metric}: {one.because}")
        lines += [
            f"  {item.path}:{item.line} {item.code} {item.message}" for item in one.findings[:_MAX_SHOWN]
        ]
        if len(one.findings) > _MAX_SHOWN:
            lines.append(f"  and {len(one.findings) - _MAX_SHOWN} more")
    lines += [f"{paint('fault', 'red')}  {fault.where}: {fault.message}" for fault in faults]
    if regressions:
        lines.append("hint: fix it, or `argosy track accept METRIC --why TEXT`")
    if skipped:
        lines.append(f"not measured: {', '.join(job.display_name() for job in skipped)}")
    if fixed:
        lines.append(f"{fixed} known findings are fixed; `argosy track run` removes them from the lists")
    lines.append(summarize(forecasts))
    lines.append(
        "nothing got worse"
        if not regressions and not faults
        else f"{len(regressions)} worse, {len(faults)} faults"
    )
    return "\n".join(lines) + "\n"


def imported_json(tracker: MarkdownTracker, source: str, output: str | None) -> dict[str, Any]:
    """Return `track-import/1`."""
    return {
        "argosy": "track-import/1",
        "source": source,
        "output": output,
        "figures": [
            {
                "name": figure.name,
                "line": figure.line,
                "current": figure.current,
                "baseline": figure.baseline,
                "target": figure.target,
                "unit": figure.unit,
                "status": "unproven",
            }
            for figure in tracker.metrics
        ],
        "contradictions": [
            {"lines": list(each.lines), "what": each.description} for each in tracker.contradictions
        ],
    }


def contradictions_text(tracker: MarkdownTracker, source: str, output: str | None) -> str:
    """Return the contradictions in an imported tracker, and the summary."""
    lines = [
        f"{source}:{','.join(map(str, each.lines))}: {paint('contradiction', 'red')}: {each.description}"
        for each in tracker.contradictions
    ]
    where = f", written to {output}" if output else ""
    lines.append(
        f"{len(tracker.metrics)} figures, none proven{where}; {len(tracker.contradictions)} contradictions"
    )
    return "\n".join(lines) + "\n"
