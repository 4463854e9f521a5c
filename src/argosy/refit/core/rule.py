"""The data of a rule and its test cases."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from argosy.refit.core.fact import FactKind
from argosy.refit.core.finding import Finding, FindingAction
from argosy.refit.core.source_file import BrokenFile, PythonFile, TextFile
from argosy.refit.core.source_tree import SourceTree

NO_FLEET = "no fleet file"

_EXPECTED_MARK = re.compile(r"#\s*<--")


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of fault to find. Its module's docstring is its reference; see `argosy.refit.rules`.

    required_words: `check_file` runs only on sources that contain one of them; empty for every source.
    check_file: checks one Python file. check_broken: checks one file that Python cannot run.
    check_text: checks one other file whose name matches one of `file_patterns`. check_texts: checks several
    at once and returns the findings of each, in order; for checks that start a slow program.
    check_links: checks one file's facts (`fact_kinds`) against those of all files (`shared_fact_kinds`).
    check_tree: checks the facts of all files (`fact_kinds`).
    is_fleet_rule: it compares with a fleet file; without one the rule is skipped and reported once.
    find_missing_tool: returns what the rule needs and this machine lacks, or an empty string. Such a rule is
    skipped, and reported once where the tree has a file for it.
    """

    code: str
    title: str
    action: FindingAction
    required_words: tuple[bytes, ...] = ()
    check_file: Callable[[PythonFile], Iterable[Finding]] | None = None
    check_broken: Callable[[BrokenFile], Iterable[Finding]] | None = None
    file_patterns: tuple[str, ...] = ()
    check_text: Callable[[TextFile], Iterable[Finding]] | None = None
    check_texts: Callable[[Sequence[TextFile]], Sequence[Iterable[Finding]]] | None = None
    fact_kinds: tuple[FactKind[Any], ...] = ()
    shared_fact_kinds: tuple[FactKind[Any], ...] = ()
    check_links: Callable[[SourceTree, str], Iterable[Finding]] | None = None
    check_tree: Callable[[SourceTree], Iterable[Finding]] | None = None
    is_fleet_rule: bool = False
    find_missing_tool: Callable[[], str] | None = None

    def unavailable_reason(self, *, has_fleet: bool) -> str:
        """Return why the rule cannot run, an empty string if it can."""
        if self.is_fleet_rule and not has_fleet:
            return NO_FLEET
        return self.find_missing_tool() if self.find_missing_tool is not None else ""

    def complete_findings(self, found: Iterable[Finding]) -> list[Finding]:
        """Return the findings with this rule's code, and its action where they have none."""
        return [
            msgspec.structs.replace(item, code=self.code, action=item.action or self.action) for item in found
        ]


class RuleCase(msgspec.Struct, frozen=True):
    """A source or a small tree, and the lines where its rule must report findings.

    source: one file's text or bytes; its name is `case.py`. files: several files by path, instead of
    `source`. expected_lines: of `source`; None for the lines that end in the comment `# <--`, which also
    marks them in `files`. fleet: the text of a fleet file at the root.
    """

    source: str | bytes = ""
    files: Mapping[str, str | bytes] = {}
    expected_lines: tuple[int, ...] | None = None
    fleet: str | None = None

    def files_by_path(self) -> dict[str, bytes]:
        """Return the case's files by path."""
        files = dict(self.files) or {"case.py": self.source}
        return {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}

    def expected_places(self) -> set[tuple[str, int]]:
        """Return path and line of every expected finding."""
        if self.expected_lines is not None:
            return {(next(iter(self.files_by_path())), line) for line in self.expected_lines}
        return {
            (path, number)
            for path, data in self.files_by_path().items()
            for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1)
            if _EXPECTED_MARK.search(line)
        }


def collect_fact_kinds(rules: Iterable[Rule]) -> tuple[FactKind[Any], ...]:
    """Return the kinds of facts that `rules` read, each once."""
    kinds = {kind.name: kind for rule in rules for kind in (*rule.fact_kinds, *rule.shared_fact_kinds)}
    return tuple(kinds.values())
