"""An audit as lines: one a finding, then how many of each code, then the account."""

from __future__ import annotations

from argosy.cli.audit_view import AuditView
from argosy.cli.report import paint
from argosy.refit.finding import Finding


def render_text(view: AuditView) -> str:
    """Return the findings by file and line, in the form that editors and `grep` know."""
    lines = [_line(item) for item in view.findings]
    if view.findings:
        lines += ["", *_table(view)]
    return "\n".join([*lines, view.told(), ""])


def _line(item: Finding) -> str:
    place = f"{paint(item.path, 'bold')}:{item.line}:{item.column}:"
    hint = f" {paint('[' + item.hint + ']', 'dim')}" if item.hint else ""
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
