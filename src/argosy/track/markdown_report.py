"""Renders a report as Markdown: TRACK.md, a line for a README, and a comment for a pull request."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from argosy.track.metric_status import ObjectiveStatus
from argosy.track.ratchet import Regression
from argosy.track.report_model import ReportSection, TableCell, TrackReport, summarize
from argosy.track.trend import sparkline

_DIGEST_COMMENT = "<!-- sealed {} -->"
_STATUS_MARKS = {
    "achieved": "✔",
    "measured": "•",
    "on track": "↗",
    "at risk": "△",
    "regressed": "✘",
    "stale": "◌",
    "unknown": "?",
    "unproven": "¿",
}


def render_markdown(report: TrackReport) -> str:
    """Return the report; the same records give the same text."""
    lines = [f"# {report.title}", "", "<!-- made by `argosy track report`: edits are lost -->"]
    for paragraph in report.lead:
        lines += ["", paragraph]
    for section in report.sections:
        lines += ["", *_render_section(section)]
    body = "\n".join(lines) + "\n"
    return f"{body}\n{_DIGEST_COMMENT.format(_content_digest(body))}\n"


def is_unedited(text: str) -> bool:
    """Return whether a report is unchanged since it was rendered."""
    body, _, digest = text.rstrip("\n").rpartition("\n\n")
    return digest == _DIGEST_COMMENT.format(_content_digest(body + "\n"))


def _content_digest(body: str) -> str:
    return hashlib.blake2b(body.encode(), digest_size=6).hexdigest()


def _render_section(section: ReportSection) -> list[str]:
    lines = [f"## {section.title}"]
    for paragraph in section.paragraphs:
        lines += ["", paragraph]
    if section.header:
        lines += ["", f"| {' | '.join(section.header)} |", "|" + "---|" * len(section.header)]
        lines += [f"| {' | '.join(_render_cell(cell) for cell in row)} |" for row in section.rows]
    if section.items:
        lines += ["", *(f"- {_escaped(item, in_table=False)}" for item in section.items)]
    return lines


def _render_cell(cell: TableCell) -> str:
    if cell.series:
        return sparkline(cell.series)
    if cell.status:
        return f"{_STATUS_MARKS[cell.status]} {cell.status}"
    return _escaped(cell.text, in_table=True)


def _escaped(text: str, *, in_table: bool) -> str:
    plain = re.sub(r"\s+", " ", text).replace("<", "&lt;")
    return plain.replace("|", "\\|") if in_table else plain


def render_line(objective_statuses: Sequence[ObjectiveStatus]) -> str:
    """Return one line for a README."""
    return f"Measured, not claimed: {summarize(objective_statuses)}\n"


def render_comment(
    objective_statuses: Sequence[ObjectiveStatus], regressions: Sequence[Regression], fixed: int
) -> str:
    """Return a comment for a pull request: regressions first, then improvements."""
    lines = [f"**Tracker**: {summarize(objective_statuses)}", ""]
    lines.append(f"{len(regressions)} worse:" if regressions else "Nothing got worse.")
    for one in regressions:
        lines.append(f"- `{one.metric}`: {_escaped(one.because, in_table=False)}")
        lines += [
            f"  - `{item.path}:{item.line}` {item.code} {item.symbol}".rstrip() for item in one.findings[:10]
        ]
        if len(one.findings) > 10:
            lines.append(f"  - and {len(one.findings) - 10} more")
    if fixed:
        lines += ["", f"{fixed} known findings are resolved: `argosy track run` tightens the list."]
    return "\n".join(lines) + "\n"
