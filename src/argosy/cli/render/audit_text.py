"""Renders an audit as text: a line for each finding, then the count of each code, then the summary."""

from __future__ import annotations

import sys

from argosy.cli.console import paint, supports_colour
from argosy.cli.render.audit_view import AuditView
from argosy.refit.core.finding import Finding


def render_audit_text(view: AuditView) -> str:
    """Return the findings by file and line, in the form that editors and `grep` use."""
    write = _coloured_line if supports_colour(sys.stdout) else _plain_line
    lines = [write(item) for item in view.findings]
    if view.findings:
        lines += ["", *_count_table(view)]
    return "\n".join([*lines, view.summary_line(), ""])


def _plain_line(item: Finding) -> str:
    hint = f" [{item.hint}]" if item.hint else ""
    return f"{item.path}:{item.line}:{item.column}: {item.code} {item.message}{hint}"


def _coloured_line(item: Finding) -> str:
    hint = f" {paint('[' + item.hint + ']', 'dim')}" if item.hint else ""
    place = f"{paint(item.path, 'bold')}:{item.line}:{item.column}:"
    return f"{place} {paint(item.code, 'yellow')} {item.message}{hint}"


def _count_table(view: AuditView) -> list[str]:
    counts = view.counts
    width = max(len(str(count)) for count in counts.values())
    longest = max(len(view.titles.get(code, "")) for code in counts)
    lines: list[str] = []
    for code, count in counts.items():
        files = len({item.path for item in view.findings if item.code == code})
        actions = sorted({item.action for item in view.findings if item.code == code})
        title = view.titles.get(code, "").ljust(longest)
        what = "file" if files == 1 else "files"
        lines.append(
            f"{count:>{width}}  {paint(code, 'yellow')}  {title}  in {files} {what}, {'/'.join(actions)}"
        )
    return lines
