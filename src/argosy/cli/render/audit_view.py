"""What one call of `argosy audit` shows: the findings that were asked for, and the account of all others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from argosy.refit.audit.tree_audit import AuditReport
from argosy.refit.core.baseline import BaselineEntry
from argosy.refit.core.finding import Finding

if TYPE_CHECKING:
    from argosy.refit.codemods.tree_pipeline import RefitReport


class AuditView(msgspec.Struct, frozen=True):
    """A report and what was selected from it.

    name: of the tree, for people. findings: what is shown and counts. known: how many the baseline
    knows. unselected: how many were found, and not asked for. gone: entries of the baseline that may
    leave it. titles: of the rules, by code. refused: selected rules that could not be asked, and why.
    planned: what a refit of the tree would do, where that was asked for.
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
        """The files that have no syntax tree; the compiler refuses some others."""
        faults = self.report.result.unparsed
        return [path for path, fault in faults.items() if fault.stage != "compile"]

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each code."""
        return dict(sorted(Counter(item.code for item in self.findings).items()))

    def summary_line(self) -> str:
        """Return the closing account in one line; files and findings both add up."""
        files = self.report.result.file_count
        paths_with_findings = {item.path for item in self.findings}
        unparsed_hidden = [path for path in self.unparseable if path not in paths_with_findings]
        python = {path for path in paths_with_findings if path.endswith(".py")}
        parts = [f"{len(python)} with findings"]
        if unparsed_hidden:
            parts.append(f"{len(unparsed_hidden)} not parsed and not shown")
        parts.append(f"{files - len(python) - len(unparsed_hidden)} without")
        text = f"{_counted(files, 'file')}: {', '.join(parts)}; {_counted(len(self.findings), 'finding')}"
        if len(paths_with_findings) > len(python):
            text += f", {_counted(len(paths_with_findings) - len(python), 'other file')} among them"
        more = [
            f"{number} {word}"
            for number, word in (
                (self.known_count, "known to the baseline"),
                (self.unselected_count, "not selected"),
                (self.report.result.ignored_count, "silenced by comments"),
            )
            if number
        ]
        text += f" ({', '.join(more)})" if more else ""
        return (
            f"{text}; {_counted(self.report.files_analyzed, 'file')} read in {self.report.duration_s:.2f} s"
        )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def audit_json(view: AuditView) -> dict[str, object]:
    """Return `audit/1`."""
    verdict = view.report.result
    return {
        "argosy": "audit/1",
        "files": verdict.file_count,
        "unparseable": view.unparseable,
        "findings": [_finding_json(item) for item in view.findings],
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


def _finding_json(item: Finding) -> dict[str, object]:
    return {
        "code": item.code,
        "path": item.path,
        "line": item.line,
        "column": item.column,
        "message": item.message,
        "action": item.action,
        "symbol": item.symbol,
        "hint": item.hint,
        "group": item.group,
    }
