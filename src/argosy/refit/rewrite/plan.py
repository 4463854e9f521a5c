"""One file through all rewrites, in their order, and before all gates."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, Protocol, TypeVar

import msgspec

from argosy.refit.rewrite import addresses, contexts, requests, standins
from argosy.refit.rewrite.change import Change
from argosy.refit.rewrite.edit import Moves, line_before, line_moves, rewrite
from argosy.refit.rewrite.gates import Case, Step, run_gates
from argosy.refit.rewrite.health import plan as health
from argosy.refit.rewrite.health.standard import inherited_members
from argosy.refit.rewrite.index import Index
from argosy.refit.rewrite.leftovers import Leftover, plan_leftovers
from argosy.refit.rewrite.text import UnfaithfulError
from argosy.refit.rewrite.view import Refusal, Site, View
from argosy.source.parse import Parsed, parse
from argosy.source.text import Source, Unparsed, take_source

Told = TypeVar("Told", Site, Refusal, Leftover)


class Planned(Protocol):
    """What a rule wants: its changes, the sites that they migrate, the sites that it leaves and why."""

    @property
    def changes(self) -> tuple[Change, ...]: ...
    @property
    def migrated(self) -> tuple[Site, ...]: ...
    @property
    def refused(self) -> tuple[Refusal, ...]: ...


class Rewrite(msgspec.Struct, frozen=True):
    """One kind of rewrite. codes: the findings that it answers. may_hold: a quick look at the bytes."""

    codes: tuple[str, ...]
    may_hold: Callable[[bytes], bool]
    plan: Callable[[View, Index], Planned]


# In the order of their application; each sees what the ones before it made.
REWRITES: Final[tuple[Rewrite, ...]] = (
    Rewrite(standins.CODES, standins.may_hold, standins.plan_standins),
    Rewrite(addresses.CODES, addresses.may_hold, addresses.plan_addresses),
    Rewrite((contexts.CODE,), contexts.may_hold, contexts.plan_contexts),
    Rewrite((health.CODE,), health.may_hold, health.plan_health),
    Rewrite((requests.CODE,), requests.may_hold, requests.plan_requests),
)


class Outcome(msgspec.Struct, frozen=True):
    """What comes of one file.

    after: its bytes then; None when it stays as it is. gates: what each said, empty for
    passed; empty when nothing was to change. leftovers: imports that nothing uses since, and that stay.
    unparsed: where and why it does not parse. is_asked: whether any rewrite could have to do with it; one
    that none could is not even parsed.
    """

    path: str
    after: bytes | None = None
    migrated: tuple[Site, ...] = ()
    refused: tuple[Refusal, ...] = ()
    gates: dict[str, str] = {}
    leftovers: tuple[Leftover, ...] = ()
    unparsed: str = ""
    is_asked: bool = True


def codes() -> tuple[str, ...]:
    """Return the codes of the findings that a refit can answer."""
    return tuple(code for each in REWRITES for code in each.codes)


def chosen(select: Iterable[str]) -> tuple[Rewrite, ...]:
    """Return the rewrites of the codes that begin with one of `select`; of all when it is empty."""
    prefixes = tuple(select)
    if not prefixes:
        return REWRITES
    return tuple(each for each in REWRITES if any(code.startswith(prefixes) for code in each.codes))


def refit_file(path: str, data: bytes, index: Index, rewrites: Sequence[Rewrite]) -> Outcome:
    """Return what the rewrites and the gates make of one file; writes nothing."""
    asked = [each for each in rewrites if each.may_hold(data)]
    if not asked:
        return Outcome(path, is_asked=False)
    source = take_source(data, path)
    parsed = parse(source) if isinstance(source, Source) else source
    if isinstance(parsed, Unparsed):
        return Outcome(path, unparsed=f"line {parsed.line}: {parsed.message}")
    return _refit(path, parsed, index, asked)


def _refit(path: str, parsed: Parsed, index: Index, rewrites: Sequence[Rewrite]) -> Outcome:
    made = _Making(View(path, parsed))
    migrated: list[Site] = []
    refused: list[Refusal] = []
    changing: list[Rewrite] = []
    for each in rewrites:
        planned = each.plan(made.view, index)
        refused += [made.before(item) for item in planned.refused]
        if not planned.changes:
            continue
        sites = [made.before(site) for site in planned.migrated]
        if reason := made.take(planned.changes):
            refused += [Refusal(site.path, site.line, site.code, reason) for site in sites]
            continue
        migrated += sites
        # What was asked since the last change has just been planned on the output, and changes nothing.
        changing = list(rewrites[: rewrites.index(each) + 1])
        if isinstance(made.output, Unparsed):
            break  # the gate `output` tells it
    if not made.steps:
        return Outcome(path, refused=tuple(sorted(refused)))
    leftovers = made.take_leftovers(index)

    def plan_again(view: View) -> int:
        return sum(len(each.plan(view, index).changes) for each in changing)

    def inherited(owner: ast.ClassDef) -> Collection[str]:
        return inherited_members(made.view, index, owner)

    gates = run_gates(Case(made.first, made.output, made.steps, plan_again, inherited))
    vetoes = [f"gate `{name}`: {reason}" for name, reason in gates.items() if reason]
    if vetoes:
        refused += [Refusal(site.path, site.line, site.code, vetoes[0]) for site in migrated]
        return Outcome(path, None, (), tuple(sorted(refused)), gates)
    after = made.view.data
    return Outcome(path, after, tuple(sorted(migrated)), tuple(sorted(refused)), gates, leftovers)


class _Making:
    """A file on its way through the rewrites: how it was, how it is, and the steps between."""

    def __init__(self, first: View) -> None:
        self.first = first
        self.view = first  # the last that parses
        self.output: View | Unparsed = first
        self.steps: list[Step] = []
        self._moves: list[Moves] = []  # of the lines by each step

    def take(self, changes: tuple[Change, ...]) -> str:
        """Make changes; return why they cannot be made."""
        before = self.view.parsed
        try:
            source = take_source(rewrite(before.source, changes), self.first.path)
            after = parse(source, is_compiled=False) if isinstance(source, Source) else source
        except UnfaithfulError as error:
            return str(error)
        self.steps.append(Step(before, changes))
        self._moves.append(line_moves(before.source, changes))
        self.output = after if isinstance(after, Unparsed) else View(self.first.path, after)
        if isinstance(self.output, View):
            self.view = self.output
        return ""

    def take_leftovers(self, index: Index) -> tuple[Leftover, ...]:
        """Let the imports go that the steps left without a use; return those that stay."""
        if isinstance(self.output, Unparsed):
            return ()
        planned = plan_leftovers(self.first, self.view, index)
        kept = [self.before(item) for item in planned.kept]
        gone = [self.before(item) for item in planned.gone]
        if planned.changes and (reason := self.take(planned.changes)):
            kept += [msgspec.structs.replace(item, reason=reason) for item in gone]
        return tuple(sorted(kept))

    def before(self, item: Told) -> Told:
        """Return a site or refusal with the line that it has in the file as it is on disk."""
        return msgspec.structs.replace(item, line=self._line_before(item.line))

    def _line_before(self, line: int) -> int:
        for each in reversed(self._moves):
            line = line_before(each, line)
        return line
