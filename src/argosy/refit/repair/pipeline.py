"""Builds the proposal for one file: syntax repair, name resolution, start-up repair, checks."""

from __future__ import annotations

import itertools
from collections.abc import Collection

import msgspec

from argosy.refit.analysis.damage import Diagnosis, diagnose
from argosy.refit.analysis.lenient_statements import read_statements
from argosy.refit.repair.broken_source import names_bound
from argosy.refit.repair.module_view import ModuleView, UnresolvedName, compile_view
from argosy.refit.repair.project_context import ProjectContext
from argosy.refit.repair.proposal import ProposalCheck, RepairProposal, RepairStep, UnboundName, find_family
from argosy.refit.repair.repair_rule import RepairCandidate
from argosy.refit.repair.repair_search import Solution, find_solutions
from argosy.refit.repair.view_repair import fix_startup, may_need_repair, resolve_names
from argosy.refit.transaction.text_edit import edit_text
from argosy.refit.transaction.text_positions import start_of_line, start_of_next_line
from argosy.refit.transaction.token_diff import check_untouched
from argosy.source.python_parser import Parsed
from argosy.source.python_source import SourceText, Unparsed

# At most this many texts that parse are compared by their unbound names.
_MAX_SOLUTIONS = 4


class RepairState(msgspec.Struct, frozen=True):
    """The best text that the syntax rules reached.

    parse_error: None for a file that parsed from the start, whose solution has no steps. solution: None if no
    rule helped. unbound_names: names that the text reads and nothing binds; empty if it does not compile.
    """

    source: SourceText
    parse_error: Unparsed | None
    solution: Solution | None
    unbound_names: frozenset[str]

    def repaired_source(self) -> SourceText | None:
        """Return the source with the repaired text, None if that does not parse."""
        if self.solution is None or self.solution.remaining_tokens:
            return None
        return self.source.with_text(self.solution.text)


def inspect_parsed(parsed: Parsed, missing_packages: Collection[str] = ()) -> RepairState | None:
    """Return the state of a file that parses; None if nothing in the file itself needs repair.

    missing_packages: packages that are declared missing where the code will run.
    """
    source = parsed.source
    view = ModuleView(source, parsed)
    if (
        not (view.unresolved or may_need_repair(view, missing_packages))
        or compile_view(source) is None
        or source.with_text(view.text) != source
    ):
        return None
    names = frozenset(item.name for item in view.unresolved)
    return RepairState(source, None, Solution(view.text, (), 0, 0), names)


def search_repair(source: SourceText, parse_error: Unparsed) -> RepairState:
    """Return the best text for a source that does not parse: the one that leaves the fewest names unbound."""
    if source.with_text(source.text()) != source:
        # The bytes do not round-trip through the encoding: no edit could preserve the rest.
        return RepairState(source, parse_error, None, frozenset())
    best: tuple[tuple[int, int, int], Solution, frozenset[str]] | None = None
    names_bound_before = _top_level_bindings(source.text())
    partial: Solution | None = None
    for order, solution in enumerate(itertools.islice(find_solutions(source.text()), _MAX_SOLUTIONS)):
        if solution.remaining_tokens:
            partial = solution
            continue
        view = _view_with_text(source, solution.text)
        if view is None:
            continue
        unresolved = frozenset(item.name for item in view.unresolved)
        rank = (len(unresolved & names_bound_before), solution.penalty, order)
        if best is None or rank < best[0]:
            best = (rank, solution, unresolved)
        if not rank[0]:
            break
    if best is None:
        return RepairState(source, parse_error, partial, frozenset())
    return RepairState(source, parse_error, best[1], best[2])


def build_proposal(state: RepairState, context: ProjectContext) -> RepairProposal:
    """Return the proposal for a file: names and start-up repaired from the tree, and the checks evaluated.

    context: answers queries about the tree.
    """
    source, solution = state.source, state.solution
    damage = diagnose(source, state.parse_error) if state.parse_error is not None else None
    if solution is None:
        return _no_proposal(source, damage)
    before = source.text()
    steps, text = _replay_steps(before, solution.steps)
    view = None if solution.remaining_tokens else _view_with_text(source, text)
    if view is not None:
        view, name_steps = resolve_names(view, context)
        view, startup_steps = fix_startup(view, context)
        for candidate, earlier in (*name_steps, *startup_steps):
            steps.append(_build_step(candidate, earlier, edit_text(earlier, candidate.edits)))
        text = view.text
    after = source.with_text(text)
    if after is None:
        return _no_proposal(source, damage)
    undefined = _remaining_unbound(view, state) if view is not None else ()
    checks: dict[ProposalCheck, bool] = {
        "parses": not solution.remaining_tokens,
        "compiles": view is not None,
        "untouched": all(step is not None for step in steps),
        "names": not any(name.is_unbound_by_repair for name in undefined),
    }
    proven_steps = tuple(step for step in steps if step is not None)
    return RepairProposal(source.path, damage, source.data, after.data, proven_steps, checks, undefined)


def _no_proposal(source: SourceText, damage: Diagnosis | None) -> RepairProposal:
    checks: dict[ProposalCheck, bool] = {"parses": False, "compiles": False, "untouched": True, "names": True}
    return RepairProposal(source.path, damage, source.data, source.data, (), checks, ())


def _replay_steps(text: str, candidates: tuple[RepairCandidate, ...]) -> tuple[list[RepairStep | None], str]:
    steps: list[RepairStep | None] = []
    for candidate in candidates:
        after = edit_text(text, candidate.edits)
        steps.append(_build_step(candidate, text, after))
        text = after
    return steps, text


def _build_step(candidate: RepairCandidate, before: str, after: str) -> RepairStep | None:
    """Return a step for the report; None if it changed more than the lines of its edits."""
    check = check_untouched(before, after, candidate.edits)
    if not check.is_unchanged:
        return None
    return RepairStep(
        candidate.rule,
        candidate.line,
        candidate.description,
        check.unchanged_tokens,
        candidate.alternatives,
        find_family(candidate.rule, _lines_touched(candidate, before)),
    )


def _lines_touched(candidate: RepairCandidate, text: str) -> str:
    spans = sorted(
        {(start_of_line(text, edit.start), start_of_next_line(text, edit.stop)) for edit in candidate.edits}
    )
    return "".join(text[start:stop] for start, stop in spans)


def _view_with_text(source: SourceText, text: str) -> ModuleView | None:
    other = source.with_text(text)
    return compile_view(other) if other is not None else None


def _remaining_unbound(view: ModuleView, state: RepairState) -> tuple[UnboundName, ...]:
    """Return the unbound names. By the repair: the broken text bound them, or none was unbound before."""

    def is_new(item: UnresolvedName) -> bool:
        if state.parse_error is None:
            return item.name not in state.unbound_names
        return item.name in known and not item.binding_line

    known = _top_level_bindings(state.source.text()) if state.parse_error is not None else frozenset()
    return tuple(
        UnboundName(item.name, item.line, item.binding_line, is_new(item)) for item in view.unresolved
    )


def _top_level_bindings(text: str) -> frozenset[str]:
    """Return the names bound at column 0 of the broken text, which a repair could unbind."""
    found: set[str] = set()
    for statement in read_statements(text):
        if statement.indent:
            continue
        found |= names_bound(statement)
        if statement.keyword in ("def", "class") and len(statement.tokens) > 1:
            names = [token.text for token in statement.tokens if token.kind == "name"]
            found.update(names[:1])
    return frozenset(found)
