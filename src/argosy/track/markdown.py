"""A report as Markdown: what TRACK.md holds, a line for a README, and a comment for a pull request."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from argosy.track.contents import Cell, Report, Section, summary
from argosy.track.ratchet import Worse
from argosy.track.trend import sparkline
from argosy.track.verdict import Outlook

_SEAL = "<!-- sealed {} -->"
_MARKS = {
    "achieved": "✔",
    "measured": "•",
    "on track": "↗",
    "at risk": "△",
    "regressed": "✘",
    "stale": "◌",
    "unknown": "?",
    "unproven": "¿",
}


def render_markdown(report: Report) -> str:
    """Return the whole report; the same records give the same text."""
    lines = [f"# {report.title}", "", "<!-- made by `argosy track report`: what is edited here is lost -->"]
    for paragraph in report.lead:
        lines += ["", paragraph]
    for section in report.sections:
        lines += ["", *_section(section)]
    body = "\n".join(lines) + "\n"
    return f"{body}\n{_SEAL.format(_seal(body))}\n"


def is_sealed(text: str) -> bool:
    """Return whether a report is as it was rendered: nobody has edited it."""
    body, _, seal = text.rstrip("\n").rpartition("\n\n")
    return seal == _SEAL.format(_seal(body + "\n"))


def _seal(body: str) -> str:
    return hashlib.blake2b(body.encode(), digest_size=6).hexdigest()


def _section(section: Section) -> list[str]:
    lines = [f"## {section.title}"]
    for paragraph in section.paragraphs:
        lines += ["", paragraph]
    if section.header:
        lines += ["", f"| {' | '.join(section.header)} |", "|" + "---|" * len(section.header)]
        lines += [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in section.rows]
    if section.items:
        lines += ["", *(f"- {_escaped(item, in_table=False)}" for item in section.items)]
    return lines


def _cell(cell: Cell) -> str:
    if cell.series:
        return sparkline(cell.series)
    if cell.status:
        return f"{_MARKS[cell.status]} {cell.status}"
    return _escaped(cell.text, in_table=True)


def _escaped(text: str, *, in_table: bool) -> str:
    plain = re.sub(r"\s+", " ", text).replace("<", "&lt;")
    return plain.replace("|", "\\|") if in_table else plain


def render_line(outlooks: Sequence[Outlook]) -> str:
    """Return one line for a README."""
    return f"Measured, not claimed: {summary(outlooks)}\n"


def render_comment(outlooks: Sequence[Outlook], worse: Sequence[Worse], mended: int) -> str:
    """Return a comment for a pull request: what got worse first, then what changed for the better."""
    lines = [f"**Tracker**: {summary(outlooks)}", ""]
    lines.append(f"{len(worse)} worse:" if worse else "Nothing got worse.")
    for one in worse:
        lines.append(f"- `{one.metric}`: {_escaped(one.because, in_table=False)}")
        lines += [
            f"  - `{item.path}:{item.line}` {item.code} {item.symbol}".rstrip() for item in one.findings[:10]
        ]
        if len(one.findings) > 10:
            lines.append(f"  - and {len(one.findings) - 10} more")
    if mended:
        lines += ["", f"{mended} known findings are mended: `argosy track run` tightens the list."]
    return "\n".join(lines) + "\n"
