"""Renders a refit as text: the diff, the refused sites with their reasons, the summary."""

from __future__ import annotations

import difflib
import sys
from collections import Counter

from argosy.cli.console import paint
from argosy.fleet.quantities import format_count
from argosy.refit.codemods.missing_requirement import MissingRequirement
from argosy.refit.codemods.tree_pipeline import RefitReport
from argosy.refit.transaction.post_checks import CHECK_DESCRIPTIONS
from argosy.source.python_source import SourceText, decode_source

_MAX_PLACES = 20


def print_refit(report: RefitReport, requirement: MissingRequirement | None, *, is_applied: bool) -> None:
    """Print what a refit did, or the diff of what it would do."""
    if not is_applied:
        for path, after in report.after.items():
            _print_diff(path, report.before[path], after)
        sys.stdout.flush()
    lines = [*_refused_lines(report), *_count_lines(report), _summary_line(report, is_applied=is_applied)]
    lines += [
        f"{item.path}:{item.line} `{item.name}` is imported and no longer used: {item.reason}"
        for item in report.unused_imports
    ]
    lines += _next_step_lines(report, requirement)
    lines += [
        f"{path} was changed meanwhile and keeps the rewrite: {why}"
        for path, why in report.concurrently_edited.items()
    ]
    # The diff is data for a pipe; the messages about it are not.
    stream = sys.stdout if is_applied else sys.stderr
    stream.write("".join(f"{line}\n" for line in lines))


def _refused_lines(report: RefitReport) -> list[str]:
    """Return the refused sites; a reason that many sites share is one line."""
    shared = Counter((item.code, item.reason) for item in report.refused)
    lines = [
        f"{item.path}:{item.line} {item.code} refused: {item.reason}"
        for item in report.refused
        if shared[item.code, item.reason] <= _MAX_PLACES
    ]
    return lines + [
        f"{format_count(count, 'time')} {code} refused: {reason} (`--json` lists them)"
        for (code, reason), count in shared.most_common()
        if count > _MAX_PLACES
    ]


def _count_lines(report: RefitReport) -> list[str]:
    lines = []
    for code, counts in report.site_counts().items():
        found = counts["migrated"] + counts["refused"]
        migrated, refused = counts["migrated"], counts["refused"]
        lines.append(f"{code}: {format_count(found, 'site')}, {migrated} migrated, {refused} refused")
    for name, (passed, failed) in report.checks.items():
        if failed and name != "input":
            files = format_count(passed + failed, "file")
            lines.append(f"gate `{name}` stopped {failed} of {files}: {CHECK_DESCRIPTIONS[name]}")
    return lines


def _next_step_lines(report: RefitReport, requirement: MissingRequirement | None) -> list[str]:
    lines = []
    if requirement is not None and requirement.places:
        lines.append(f"add `{requirement.specifier}` beside pyzmq: {', '.join(requirement.places)}")
    elif requirement is not None:
        lines.append(f"the changed files need `{requirement.specifier}`")
    if report.run:
        lines.append(f"undo: argosy refit {report.root} --undo {report.run}")
    return lines


def _summary_line(report: RefitReport, *, is_applied: bool) -> str:
    """Return the summary of the files; changed and unchanged ones add up to all."""
    changed, broken = len(report.after), len(report.parse_errors)
    action = "changed" if is_applied else "would change"
    unchanged = report.files - changed - broken
    unreadable = f", {len(report.unreadable)} could not be read" if report.unreadable else ""
    return (
        f"{format_count(report.files, 'file')}: {changed} {action}, {unchanged} unchanged, "
        f"{broken} that might concern it do not parse{unreadable}; {report.seconds:.1f} s"
    )


def _print_diff(path: str, before: bytes, after: bytes) -> None:
    old, new = (_decode_lines(data, path) for data in (before, after))
    for line in difflib.unified_diff(old, new, f"a/{path}", f"b/{path}", n=2):
        kind = line[:1] if line[:3] not in ("+++", "---") else ""
        shown = line.rstrip("\r\n")
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(kind)
        sys.stdout.write((paint(shown, colour) if colour else shown) + "\n")


def _decode_lines(data: bytes, path: str) -> list[str]:
    source = decode_source(data, path)
    text = source.text() if isinstance(source, SourceText) else data.decode("utf-8", "replace")
    return text.splitlines(keepends=True)
