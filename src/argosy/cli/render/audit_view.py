"""The result of `argosy audit`: the selected findings and counts of the others; as text and as JSON."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from argosy.cli.console import paint, supports_colour
from argosy.fleet.quantities import format_count
from argosy.refit.audit.tree_audit import AuditReport
from argosy.refit.core.baseline import BaselineEntry
from argosy.refit.core.finding import Finding

if TYPE_CHECKING:
    from argosy.refit.codemods.tree_pipeline import RefitReport


class AuditView(msgspec.Struct, frozen=True):
    """A report and what was selected from it.

    name: the display name of the tree. findings: what is shown and counts. known_count: findings in the
    baseline. unselected_count: findings that were not selected. fixed: entries of the baseline without a
    finding. titles: of the rules, by code. skipped_rules: selected rules that could not run, and why.
    planned_refit: what a refit of the tree would do, for the page only.
    """

    name: str
    report: AuditReport
    findings: Sequence[Finding]
    known_count: int
    unselected_count: int
    fixed: Sequence[BaselineEntry]
    titles: Mapping[str, str]
    skipped_rules: Mapping[str, str]
    planned_refit: RefitReport | None = None

    @property
    def unparseable(self) -> list[str]:
        """The files without a syntax tree; files that only the compiler refuses are not among them."""
        faults = self.report.result.unparsed
        return [path for path, fault in faults.items() if fault.stage != "compile"]

    @property
    def counts(self) -> dict[str, int]:
        """The number of findings by code."""
        return dict(sorted(Counter(item.code for item in self.findings).items()))

    def summary_line(self) -> str:
        """Return the summary in one line; files and findings both add up."""
        files = self.report.result.file_count
        paths_with_findings = {item.path for item in self.findings}
        unparsed_hidden = [path for path in self.unparseable if path not in paths_with_findings]
        python = {path for path in paths_with_findings if path.endswith(".py")}
        parts = [f"{len(python)} with findings"]
        if unparsed_hidden:
            parts.append(f"{len(unparsed_hidden)} not parsed and not shown")
        parts.append(f"{files - len(python) - len(unparsed_hidden)} without")
        findings = format_count(len(self.findings), "finding")
        text = f"{format_count(files, 'file')}: {', '.join(parts)}; {findings}"
        if len(paths_with_findings) > len(python):
            text += f", {format_count(len(paths_with_findings) - len(python), 'other file')} among them"
        more = [
            f"{number} {word}"
            for number, word in (
                (self.known_count, "known to the baseline"),
                (self.unselected_count, "not selected"),
                (self.report.result.ignored_count, "suppressed by comments"),
            )
            if number
        ]
        text += f" ({', '.join(more)})" if more else ""
        read = format_count(self.report.files_analyzed, "file")
        return f"{text}; {read} read in {self.report.duration_s:.2f} s"


def audit_json(view: AuditView) -> dict[str, object]:
    """Return `audit/1`."""
    verdict = view.report.result
    return {
        "argosy": "audit/1",
        "files": verdict.file_count,
        "unparseable": view.unparseable,
        "findings": [msgspec.structs.asdict(item) for item in view.findings],
        "counts": view.counts,
        "seconds": round(view.report.duration_s, 3),
        "read": view.report.files_analyzed,
        "known": view.known_count,
        "unselected": view.unselected_count,
        "ignored": verdict.ignored_count,
        "gone": msgspec.to_builtins(view.fixed),
        "refused": dict(view.skipped_rules),
        "unreadable": dict(view.report.unreadable),
        "failures": msgspec.to_builtins(verdict.failures),
    }


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
        where = f"in {format_count(files, 'file')}, {'/'.join(actions)}"
        lines.append(f"{count:>{width}}  {paint(code, 'yellow')}  {title}  {where}")
    return lines
