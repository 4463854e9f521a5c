"""Renders a report as one self-contained HTML page, and a badge for a README as an SVG."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from argosy.html_page import inline_code, render_page, table
from argosy.track.metric_status import ObjectiveStatus
from argosy.track.report_model import ReportSection, TableCell, TrackReport

_WIDTH, _HEIGHT = 96.0, 22.0


def render_html(report: TrackReport) -> str:
    """Return the page; the same records give the same text."""
    return render_page(
        report.title,
        "argosy.track",
        "report.html",
        lead="".join(f"<p>{_render_inline(text)}</p>" for text in report.lead),
        links="".join(
            f'<a href="#{_anchor(section.title)}">{escape(section.title)}</a>' for section in report.sections
        ),
        sections="".join(map(_render_section, report.sections)),
    )


def _render_section(section: ReportSection) -> str:
    content = "".join(f"<p>{_render_inline(text)}</p>" for text in section.paragraphs)
    if section.header:
        rows = "".join("<tr>" + "".join(map(_render_cell, row)) + "</tr>" for row in section.rows)
        content += (
            f'<div class="frame" tabindex="0" role="region" aria-label="{escape(section.title)}">'
            f"{table(section.header, rows)}</div>"
        )
    if section.items:
        content += "<ul>" + "".join(f"<li>{_render_inline(item)}</li>" for item in section.items) + "</ul>"
    return f'<section id="{_anchor(section.title)}"><h2>{escape(section.title)}</h2>{content}</section>'


def _render_cell(cell: TableCell) -> str:
    if cell.series:
        return f"<td>{_render_sparkline(cell.series)}</td>"
    if cell.status:
        return f'<td><span class="status" data-status="{cell.status}">{cell.status}</span></td>'
    return f"<td>{_render_inline(cell.text)}</td>"


def _render_sparkline(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    step = _WIDTH / (len(values) - 1)
    span = (high - low) or 1.0
    points = [
        (index * step + 2, (_HEIGHT / 2 if high == low else (1 - (value - low) / span) * _HEIGHT) + 3)
        for index, value in enumerate(values)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    label = f"{len(values)} measures, from {values[0]:.4g} to {values[-1]:.4g}"
    return (
        f'<svg class="curve" viewBox="0 0 {_WIDTH + 4:g} {_HEIGHT + 6:g}" role="img" aria-label="{label}">'
        f'<polyline points="{line}"/><circle cx="{x:.1f}" cy="{y:.1f}" r="2"/></svg>'
    )


def _render_inline(text: str) -> str:
    """Return a text of the report as HTML; only `code`, **strong** and *emphasis* are markup."""
    return inline_code(text, _render_emphasis)


def _render_emphasis(text: str) -> str:
    text = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", escape(text))
    return re.sub(r"\*([^*\s][^*]*)\*", r"<em>\1</em>", text)


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


_LETTER_WIDTH = 6.6
_BADGE_COLOURS = {"good": "#2b7a3d", "fair": "#8a6100", "bad": "#a3262a"}


def render_badge(title: str, objective_statuses: Sequence[ObjectiveStatus]) -> str:
    """Return the badge: green if all are achieved, red if one has regressed."""
    achieved = sum(each.status == "achieved" for each in objective_statuses)
    regressed = sum(each.status == "regressed" for each in objective_statuses)
    message = f"{achieved} of {len(objective_statuses)} achieved" + (
        f", {regressed} regressed" if regressed else ""
    )
    colour = _BADGE_COLOURS["bad" if regressed else "good" if achieved == len(objective_statuses) else "fair"]
    left, right = (round(len(text) * _LETTER_WIDTH) + 12 for text in (title, message))
    label = escape(f"{title}: {message}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{label}"><title>{label}</title><rect width="{left}" height="20" fill="#444"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{colour}"/>'
        '<g fill="#fff" font-family="Verdana,sans-serif" font-size="11" text-anchor="middle">'
        f'<text x="{left / 2:g}" y="14">{escape(title)}</text>'
        f'<text x="{left + right / 2:g}" y="14">{escape(message)}</text></g></svg>\n'
    )
