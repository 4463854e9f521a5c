"""A tracker as text and as `track/1`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from argosy.cli.report import paint
from argosy.fault import Fault
from argosy.track.contents import shown, summary
from argosy.track.ledger import Record
from argosy.track.measuring import Job
from argosy.track.ratchet import Worse
from argosy.track.tracker import Tracker
from argosy.track.verdict import Outlook, Standing

_COLOURS = {"achieved": "green", "on track": "green", "regressed": "red", "unknown": "red"}
_SHOWN = 10


def as_object(outlooks: Sequence[Outlook]) -> dict[str, Any]:
    """Return `track/1`."""
    return {
        "argosy": "track/1",
        "metrics": [_metric(standing) for outlook in outlooks for standing in outlook.standings],
        "objectives": [_objective(outlook) for outlook in outlooks],
    }


def _metric(standing: Standing) -> dict[str, Any]:
    metric, record = standing.metric, standing.record
    return {
        "name": metric.name,
        "baseline": standing.baseline,
        "current": standing.current,
        "target": metric.target,
        "status": standing.status,
        "method": metric.measure.method() if metric.measure is not None else "stated",
        "because": standing.because,
        "unit": metric.unit,
        "better": metric.better,
        "best": standing.best.value if standing.best is not None else None,
        "n": max(len(record.values), 1) if record is not None and record.value is not None else 0,
        "spread": record.spread if record is not None else None,
        "commit": record.commit if record is not None else None,
        "at": record.at if record is not None else None,
        "machine": record.machine if record is not None else None,
    }


def _objective(outlook: Outlook) -> dict[str, Any]:
    return {
        "name": outlook.objective.name,
        "title": outlook.objective.title,
        "status": outlook.status,
        "claims": [
            {
                "text": heard.claim.text,
                "source": heard.claim.source,
                "verdict": heard.verdict,
                "because": heard.because,
            }
            for heard in outlook.claims
        ],
    }


def check_object(
    outlooks: Sequence[Outlook],
    worse: Sequence[Worse],
    mended: int,
    faults: Sequence[Fault],
    left: Sequence[Job],
) -> dict[str, Any]:
    """Return `track/1` with what got worse."""
    return {
        **as_object(outlooks),
        "worse": [
            {
                "metric": one.metric,
                "because": one.because,
                "findings": [
                    {"path": item.path, "line": item.line, "code": item.code, "symbol": item.symbol}
                    for item in one.findings
                ],
            }
            for one in worse
        ],
        "mended": mended,
        "faults": [{"where": fault.where, "code": fault.code, "message": fault.message} for fault in faults],
        "not_measured": [job.name() for job in left],
    }


def render_account(outlooks: Sequence[Outlook], records: Sequence[Record], *, past: bool) -> str:
    """Return what a run has measured, and how all stands."""
    lines = []
    for record in records:
        if record.value is None:
            lines.append(f"{paint('unknown', 'red')}  {record.metric}: {record.trouble}")
            continue
        role = "" if record.role == "current" else f" ({record.role}, {record.commit[:9] or 'no commit'})"
        noise = f" ± {shown(record.spread, record.unit)} of {len(record.values)}" if record.values else ""
        lines.append(f"{record.metric}{role}: {shown(record.value, record.unit)}{noise}")
    if not records:
        lines.append("nothing was stale")
    if not past:
        lines += ["", *_rows(outlooks), "", summary(outlooks)]
    return "\n".join(lines) + "\n"


def _rows(outlooks: Sequence[Outlook]) -> list[str]:
    standings = [standing for outlook in outlooks for standing in outlook.standings]
    width = max(len(standing.metric.name) for standing in standings)
    rows = []
    for standing in standings:
        word = paint(f"{standing.status:<9}", _COLOURS.get(standing.status, "dim"))
        current = "unknown" if standing.current is None else shown(standing.current, standing.metric.unit)
        rows.append(f"{word}  {standing.metric.name:<{width}}  {current}  {standing.because}")
    return rows


def render_check(
    outlooks: Sequence[Outlook],
    worse: Sequence[Worse],
    mended: int,
    faults: Sequence[Fault],
    left: Sequence[Job],
) -> str:
    """Return what got worse, what can be tightened, and what was not looked at."""
    lines = []
    for one in worse:
        lines.append(f"{paint('worse', 'red')}  {one.metric}: {one.because}")
        lines += [f"  {item.path}:{item.line} {item.code} {item.message}" for item in one.findings[:_SHOWN]]
        if len(one.findings) > _SHOWN:
            lines.append(f"  and {len(one.findings) - _SHOWN} more")
    lines += [f"{paint('fault', 'red')}  {fault.where}: {fault.message}" for fault in faults]
    if worse:
        lines.append("hint: mend it, or `argosy track accept METRIC --why TEXT`")
    if left:
        lines.append(f"not measured: {', '.join(job.name() for job in left)}")
    if mended:
        lines.append(f"{mended} known findings are mended; `argosy track run` tightens the lists")
    lines.append(summary(outlooks))
    lines.append(
        "nothing got worse" if not worse and not faults else f"{len(worse)} worse, {len(faults)} faults"
    )
    return "\n".join(lines) + "\n"


def imported_object(tracker: Tracker, source: str, output: str | None) -> dict[str, Any]:
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
            for figure in tracker.figures
        ],
        "contradictions": [{"lines": list(each.lines), "what": each.what} for each in tracker.contradictions],
    }


def contradictions_text(tracker: Tracker, source: str, output: str | None) -> str:
    """Return what a person has to know of an old tracker."""
    lines = [
        f"{source}:{','.join(map(str, each.lines))}: {paint('contradiction', 'red')}: {each.what}"
        for each in tracker.contradictions
    ]
    where = f", written to {output}" if output else ""
    lines.append(
        f"{len(tracker.figures)} figures, none proven{where}; {len(tracker.contradictions)} contradictions"
    )
    return "\n".join(lines) + "\n"
