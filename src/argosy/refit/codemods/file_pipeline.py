"""One file through all rewrites, in their order, and before all gates."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, Protocol, TypeVar

import msgspec

from argosy.refit.codemods.a401 import address_replacement
from argosy.refit.codemods.b501 import base_replacement
from argosy.refit.codemods.h201 import health_loop_replacement as health
from argosy.refit.codemods.h201.health_base import inherited_members
from argosy.refit.codemods.tree_index import TreeIndex
from argosy.refit.codemods.unused_imports import UnusedImport, plan_unused_imports
from argosy.refit.codemods.z301 import context_replacement
from argosy.refit.codemods.z306 import request_replacement
from argosy.refit.transaction.post_checks import CheckInput, RewriteStep, run_checks
from argosy.refit.transaction.source_change import Change
from argosy.refit.transaction.source_view import RefusedSite, RewriteSite, SourceView
from argosy.refit.transaction.text_edit import LineShifts, apply_changes, line_before_shifts, line_shifts
from argosy.refit.transaction.text_positions import UnsafeEditError
from argosy.source.python_parser import Parsed, parse
from argosy.source.python_source import SourceText, Unparsed, decode_source

Located = TypeVar("Located", RewriteSite, RefusedSite, UnusedImport)


class CodemodPlan(Protocol):
    """What a rule wants: its changes, the sites that they migrate, the sites that it leaves and why."""

    @property
    def changes(self) -> tuple[Change, ...]: ...
    @property
    def migrated(self) -> tuple[RewriteSite, ...]: ...
    @property
    def refused(self) -> tuple[RefusedSite, ...]: ...


class Codemod(msgspec.Struct, frozen=True):
    """One kind of rewrite. codes: the findings that it answers. may_hold: a quick look at the bytes."""

    codes: tuple[str, ...]
    may_match: Callable[[bytes], bool]
    plan: Callable[[SourceView, TreeIndex], CodemodPlan]


# In the order of their application; each sees what the ones before it made.
CODEMODS: Final[tuple[Codemod, ...]] = (
    Codemod(base_replacement.CODES, base_replacement.may_match, base_replacement.plan_base_replacement),
    Codemod(
        address_replacement.CODES, address_replacement.may_match, address_replacement.plan_address_replacement
    ),
    Codemod(
        (context_replacement.OWN_CONTEXT,),
        context_replacement.may_match,
        context_replacement.plan_context_replacement,
    ),
    Codemod((health.OWN_HEALTH_LOOP,), health.may_match, health.plan_health_loop_replacement),
    Codemod(
        (request_replacement.REQUEST_SOCKET_PER_CALL,),
        request_replacement.may_match,
        request_replacement.plan_request_replacement,
    ),
)


class FileOutcome(msgspec.Struct, frozen=True):
    """What comes of one file.

    after: its bytes then; None when it stays as it is. gates: what each said, empty for
    passed; empty when nothing was to change. leftovers: imports that nothing uses since, and that stay.
    unparsed: where and why it does not parse. is_asked: whether any rewrite could have to do with it; one
    that none could is not even parsed.
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
    """Return the codes of the findings that a refit can answer."""
    return tuple(code for each in CODEMODS for code in each.codes)


def select_codemods(select: Iterable[str]) -> tuple[Codemod, ...]:
    """Return the rewrites of the codes that begin with one of `select`; of all when it is empty."""
    prefixes = tuple(select)
    if not prefixes:
        return CODEMODS
    return tuple(each for each in CODEMODS if any(code.startswith(prefixes) for code in each.codes))


def rewrite_file(path: str, data: bytes, index: TreeIndex, codemods: Sequence[Codemod]) -> FileOutcome:
    """Return what the rewrites and the gates make of one file; writes nothing."""
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
        # What was asked since the last change has just been planned on the output, and changes nothing.
        changing = list(codemods[: codemods.index(each) + 1])
        if isinstance(progress.output, Unparsed):
            break  # the gate `output` tells it
    if not progress.steps:
        return FileOutcome(path, refused=tuple(sorted(refused)))
    unused_imports = progress.remove_unused_imports(index)

    def replan(view: SourceView) -> int:
        return sum(len(each.plan(view, index).changes) for each in changing)

    def inherited_of(owner: ast.ClassDef) -> Collection[str]:
        return inherited_members(progress.view, index, owner)

    checks = run_checks(CheckInput(progress.original, progress.output, progress.steps, replan, inherited_of))
    vetoes = [f"gate `{name}`: {reason}" for name, reason in checks.items() if reason]
    if vetoes:
        refused += [RefusedSite(site.path, site.line, site.code, vetoes[0]) for site in migrated]
        return FileOutcome(path, None, (), tuple(sorted(refused)), checks)
    after = progress.view.data
    return FileOutcome(path, after, tuple(sorted(migrated)), tuple(sorted(refused)), checks, unused_imports)


class _FileInProgress:
    """A file on its way through the rewrites: how it was, how it is, and the steps between."""

    def __init__(self, original: SourceView) -> None:
        self.original = original
        self.view = original  # the last that parses
        self.output: SourceView | Unparsed = original
        self.steps: list[RewriteStep] = []
        self._line_shifts: list[LineShifts] = []  # of the lines by each step

    def apply(self, changes: tuple[Change, ...]) -> str:
        """Make changes; return why they cannot be made."""
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
        """Let the imports go that the steps left without a use; return those that stay."""
        if isinstance(self.output, Unparsed):
            return ()
        planned = plan_unused_imports(self.original, self.view, index)
        remaining = [self.with_original_line(item) for item in planned.remaining]
        removed = [self.with_original_line(item) for item in planned.removed]
        if planned.changes and (reason := self.apply(planned.changes)):
            remaining += [msgspec.structs.replace(item, reason=reason) for item in removed]
        return tuple(sorted(remaining))

    def with_original_line(self, item: Located) -> Located:
        """Return a site or refusal with the line that it has in the file as it is on disk."""
        return msgspec.structs.replace(item, line=self._original_line(item.line))

    def _original_line(self, line: int) -> int:
        for each in reversed(self._line_shifts):
            line = line_before_shifts(each, line)
        return line
