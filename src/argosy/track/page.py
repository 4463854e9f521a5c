"""A report as one HTML page that needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files

from argosy.track.contents import Cell, Report, Section

_WIDTH, _HEIGHT = 96.0, 22.0


def render_page(report: Report) -> str:
    """Return the whole page; the same records give the same text."""
    parts = {
        "TITLE": escape(report.title),
        "LEAD": "".join(f"<p>{_worded(text)}</p>" for text in report.lead),
        "LINKS": "".join(
            f'<a href="#{_anchor(section.title)}">{escape(section.title)}</a>' for section in report.sections
        ),
        "SECTIONS": "".join(map(_section, report.sections)),
    }
    page = files("argosy.track").joinpath("page.html").read_text("utf-8")
    for name, text in parts.items():
        page = page.replace(f"<!--{name}-->", text)
    return page


def _section(section: Section) -> str:
    told = "".join(f"<p>{_worded(text)}</p>" for text in section.paragraphs)
    if section.header:
        head = "".join(f'<th scope="col">{escape(word)}</th>' for word in section.header)
        rows = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in section.rows)
        told += (
            f'<div class="frame" tabindex="0" role="region" aria-label="{escape(section.title)}"><table>'
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        )
    if section.items:
        told += "<ul>" + "".join(f"<li>{_worded(item)}</li>" for item in section.items) + "</ul>"
    return f'<section id="{_anchor(section.title)}"><h2>{escape(section.title)}</h2>{told}</section>'


def _cell(cell: Cell) -> str:
    if cell.series:
        return f"<td>{_curve(cell.series)}</td>"
    if cell.status:
        return f'<td><span class="status" data-status="{cell.status}">{cell.status}</span></td>'
    return f"<td>{_worded(cell.text)}</td>"


def _curve(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    step = _WIDTH / (len(values) - 1)
    span = (high - low) or 1.0
    points = [
        (index * step + 2, (_HEIGHT / 2 if high == low else (1 - (value - low) / span) * _HEIGHT) + 3)
        for index, value in enumerate(values)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    told = f"{len(values)} measures, from {values[0]:.4g} to {values[-1]:.4g}"
    return (
        f'<svg class="curve" viewBox="0 0 {_WIDTH + 4:g} {_HEIGHT + 6:g}" role="img" aria-label="{told}">'
        f'<polyline points="{line}"/><circle cx="{x:.1f}" cy="{y:.1f}" r="2"/></svg>'
    )


def _worded(text: str) -> str:
    """Return a text of the report as HTML: `code`, **strong** and *emphasis*, nothing else."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        f"<code>{escape(part[1:-1])}</code>" if index % 2 else _stressed(escape(part))
        for index, part in enumerate(parts)
    )


def _stressed(text: str) -> str:
    text = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)
    return re.sub(r"\*([^*\s][^*]*)\*", r"<em>\1</em>", text)


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")
