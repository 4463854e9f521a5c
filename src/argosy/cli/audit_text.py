"""An audit as lines: one a finding, then how many of each code, then the account."""

from __future__ import annotations

import sys

from argosy.cli.audit_view import AuditView
from argosy.cli.report import is_colourful, paint
from argosy.refit.finding import Finding


def render_text(view: AuditView) -> str:
    """Return the findings by file and line, in the form that editors and `grep` know."""
    write = _coloured if is_colourful(sys.stdout) else _plain
    lines = [write(item) for item in view.findings]
    if view.findings:
        lines += ["", *_table(view)]
    return "\n".join([*lines, view.told(), ""])


def _plain(item: Finding) -> str:
    hint = f" [{item.hint}]" if item.hint else ""
    return f"{item.path}:{item.line}:{item.column}: {item.code} {item.message}{hint}"


def _coloured(item: Finding) -> str:
    hint = f" {paint('[' + item.hint + ']', 'dim')}" if item.hint else ""
    place = f"{paint(item.path, 'bold')}:{item.line}:{item.column}:"
    return f"{place} {paint(item.code, 'yellow')} {item.message}{hint}"


def _table(view: AuditView) -> list[str]:
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
