"""What one call of `argosy audit` shows: the findings that were asked for, and the account of all others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from argosy.refit.audit import Report
from argosy.refit.baseline import Entry
from argosy.refit.finding import Finding

if TYPE_CHECKING:
    from argosy.refit.rewrite.refit import Account


class AuditView(msgspec.Struct, frozen=True):
    """A report and what was selected from it.

    name: of the tree, for people. findings: what is shown and counts. known: how many the baseline
    knows. unselected: how many were found, and not asked for. gone: entries of the baseline that may
    leave it. titles: of the rules, by code. refused: selected rules that could not be asked, and why.
    planned: what a refit of the tree would do, where that was asked for.
    """

    name: str
    report: Report
    findings: Sequence[Finding]
    known: int
    unselected: int
    gone: Sequence[Entry]
    titles: Mapping[str, str]
    refused: Mapping[str, str]
    planned: Account | None = None

    @property
    def unparseable(self) -> list[str]:
        """The files that have no syntax tree; the compiler refuses some others."""
        faults = self.report.verdict.unparsed
        return [path for path, fault in faults.items() if fault.stage != "compile"]

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each code."""
        return dict(sorted(Counter(item.code for item in self.findings).items()))

    def told(self) -> str:
        """Return the closing account in one line; files and findings both add up."""
        files = self.report.verdict.files
        touched = {item.path for item in self.findings}
        mute = [path for path in self.unparseable if path not in touched]
        python = {path for path in touched if path.endswith(".py")}
        parts = [f"{len(python)} with findings"]
        if mute:
            parts.append(f"{len(mute)} not parsed and not shown")
        parts.append(f"{files - len(python) - len(mute)} without")
        text = f"{_counted(files, 'file')}: {', '.join(parts)}; {_counted(len(self.findings), 'finding')}"
        if len(touched) > len(python):
            text += f", {_counted(len(touched) - len(python), 'other file')} among them"
        more = [
            f"{number} {word}"
            for number, word in (
                (self.known, "known to the baseline"),
                (self.unselected, "not selected"),
                (self.report.verdict.ignored, "silenced by comments"),
            )
            if number
        ]
        text += f" ({', '.join(more)})" if more else ""
        return f"{text}; {_counted(self.report.read, 'file')} read in {self.report.seconds:.2f} s"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def as_object(view: AuditView) -> dict[str, object]:
    """Return `audit/1`."""
    verdict = view.report.verdict
    return {
        "argosy": "audit/1",
        "files": verdict.files,
        "unparseable": view.unparseable,
        "findings": [_item(item) for item in view.findings],
        "counts": view.counts,
        "seconds": round(view.report.seconds, 3),
        "read": view.report.read,
        "known": view.known,
        "unselected": view.unselected,
        "ignored": verdict.ignored,
        "gone": msgspec.to_builtins(view.gone),
        "refused": dict(view.refused),
        "unreadable": dict(view.report.unreadable),
        "failures": msgspec.to_builtins(verdict.failures),
    }


def _item(item: Finding) -> dict[str, object]:
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
