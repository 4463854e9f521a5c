"""Runs one file through all codemods in order, then through all checks."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

import msgspec

from argosy.refit.codemods.unused_imports import UnusedImport, plan_unused_imports
from argosy.refit.rewrite.codemod import Codemod
from argosy.refit.rewrite.tree_index import TreeIndex
from argosy.refit.rules.registry import load_codemods
from argosy.refit.transaction.post_checks import CheckInput, RewriteStep, run_checks
from argosy.refit.transaction.source_change import Change
from argosy.refit.transaction.source_view import RefusedSite, RewriteSite, SourceView
from argosy.refit.transaction.text_edit import LineShifts, apply_changes, line_before_shifts, line_shifts
from argosy.refit.transaction.text_positions import UnsafeEditError
from argosy.source.python_parser import Parsed, parse
from argosy.source.python_source import SourceText, Unparsed, decode_source

Located = TypeVar("Located", RewriteSite, RefusedSite, UnusedImport)


class FileOutcome(msgspec.Struct, frozen=True):
    """The result for one file.

    after: its new bytes; None if it does not change. checks: by check the reason of a failure, empty if it
    passed; empty if nothing was to change. unused_imports: imports that the rewrite left unused and that are
    kept.
    parse_error: where and why the file does not parse. is_relevant: whether any codemod may match the file;
    other files are not parsed.
    """

    path: str
    after: bytes | None = None
    migrated: tuple[RewriteSite, ...] = ()
    refused: tuple[RefusedSite, ...] = ()
    checks: dict[str, str] = {}
    unused_imports: tuple[UnusedImport, ...] = ()
    parse_error: str = ""
    is_relevant: bool = True


def codemod_codes() -> tuple[str, ...]:
    """Return the codes of the findings that a refit can fix."""
    return tuple(code for each in load_codemods() for code in each.codes)


def select_codemods(select: Iterable[str]) -> tuple[Codemod, ...]:
    """Return the codemods for codes that begin with one of `select`; all codemods if it is empty."""
    prefixes = tuple(select) or ("",)
    return tuple(each for each in load_codemods() if any(code.startswith(prefixes) for code in each.codes))


def rewrite_file(path: str, data: bytes, index: TreeIndex, codemods: Sequence[Codemod]) -> FileOutcome:
    """Return the result of the codemods and checks for one file; writes nothing."""
    relevant = [each for each in codemods if each.may_match(data)]
    if not relevant:
        return FileOutcome(path, is_relevant=False)
    source = decode_source(data, path)
    parsed = parse(source) if isinstance(source, SourceText) else source
    if isinstance(parsed, Unparsed):
        return FileOutcome(path, parse_error=f"line {parsed.line}: {parsed.message}")
    return _rewrite_parsed(path, parsed, index, relevant)


def _rewrite_parsed(path: str, parsed: Parsed, index: TreeIndex, codemods: Sequence[Codemod]) -> FileOutcome:
    progress = _FileInProgress(SourceView(path, parsed))
    migrated: list[RewriteSite] = []
    refused: list[RefusedSite] = []
    changing: list[Codemod] = []
    for each in codemods:
        planned = each.plan(progress.view, index)
        refused += [progress.with_original_line(item) for item in planned.refused]
        if not planned.changes:
            continue
        sites = [progress.with_original_line(site) for site in planned.migrated]
        if reason := progress.apply(planned.changes):
            refused += [RefusedSite(site.path, site.line, site.code, reason) for site in sites]
            continue
        migrated += sites
        # Codemods after this one were planned on the final output already and change nothing.
        changing = list(codemods[: codemods.index(each) + 1])
        if isinstance(progress.output, Unparsed):
            break  # the check `output` reports it
    if not progress.steps:
        return FileOutcome(path, refused=tuple(sorted(refused)))
    unused_imports = progress.remove_unused_imports(index)

    def replan(view: SourceView) -> int:
        return sum(len(each.plan(view, index).changes) for each in changing)

    def inherited_of(owner: ast.ClassDef) -> Collection[str]:
        known = (each.inherited_members for each in load_codemods() if each.inherited_members)
        return {name for inherited in known for name in inherited(progress.view, index, owner)}

    checks = run_checks(CheckInput(progress.original, progress.output, progress.steps, replan, inherited_of))
    vetoes = [f"gate `{name}`: {reason}" for name, reason in checks.items() if reason]
    if vetoes:
        refused += [RefusedSite(site.path, site.line, site.code, vetoes[0]) for site in migrated]
        return FileOutcome(path, None, (), tuple(sorted(refused)), checks)
    after = progress.view.data
    return FileOutcome(path, after, tuple(sorted(migrated)), tuple(sorted(refused)), checks, unused_imports)


class _FileInProgress:
    """A file in the pipeline: its original, its current version, and the steps between."""

    def __init__(self, original: SourceView) -> None:
        self.original = original
        self.view = original  # the last version that parses
        self.output: SourceView | Unparsed = original
        self.steps: list[RewriteStep] = []
        self._line_shifts: list[LineShifts] = []  # line shifts of each step

    def apply(self, changes: tuple[Change, ...]) -> str:
        """Apply changes; return the reason if they cannot be applied."""
        before = self.view.parsed
        try:
            source = decode_source(apply_changes(before.source, changes), self.original.path)
            after = parse(source, is_compiled=False) if isinstance(source, SourceText) else source
        except UnsafeEditError as error:
            return str(error)
        self.steps.append(RewriteStep(before, changes))
        self._line_shifts.append(line_shifts(before.source, changes))
        self.output = after if isinstance(after, Unparsed) else SourceView(self.original.path, after)
        if isinstance(self.output, SourceView):
            self.view = self.output
        return ""

    def remove_unused_imports(self, index: TreeIndex) -> tuple[UnusedImport, ...]:
        """Remove the imports that the steps left unused; return those that are kept."""
        if isinstance(self.output, Unparsed):
            return ()
        planned = plan_unused_imports(self.original, self.view, index)
        remaining = [self.with_original_line(item) for item in planned.remaining]
        removed = [self.with_original_line(item) for item in planned.removed]
        if planned.changes and (reason := self.apply(planned.changes)):
            remaining += [msgspec.structs.replace(item, reason=reason) for item in removed]
        return tuple(sorted(remaining))

    def with_original_line(self, item: Located) -> Located:
        """Return a site or refusal with its line in the original file."""
        return msgspec.structs.replace(item, line=self._original_line(item.line))

    def _original_line(self, line: int) -> int:
        for each in reversed(self._line_shifts):
            line = line_before_shifts(each, line)
        return line
