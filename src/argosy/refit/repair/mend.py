"""From a file to a proposal: the search where it does not parse, the names, the start, the gates."""

from __future__ import annotations

import itertools
from collections.abc import Collection

import msgspec

from argosy.refit.damage import Diagnosis, diagnose
from argosy.refit.repair.bound import names_bound
from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import apply_edits, line_start, line_stop
from argosy.refit.repair.families import family_of
from argosy.refit.repair.names.mending import mend_names
from argosy.refit.repair.names.shown import Shown
from argosy.refit.repair.names.view import Unresolved, View, view_of
from argosy.refit.repair.proof import compare
from argosy.refit.repair.proposal import Gate, Name, Proposal, Step
from argosy.refit.repair.search import Way, ways
from argosy.refit.repair.startup.around import Around
from argosy.refit.repair.startup.mending import is_suspect, mend_startup
from argosy.refit.repair.text import with_text
from argosy.refit.statements import read_statements
from argosy.source.parse import Parsed
from argosy.source.text import Source, Unparsed

# So many texts that parse are compared by the names that they leave unbound.
_MOST_WAYS = 4


class Reached(msgspec.Struct, frozen=True):
    """The best text that the rules came to.

    failed: None for a file that parsed from the start, whose way has no steps. way: None when no rule
    helped. names: those that its text reads and nothing binds; empty when it does not compile.
    """

    source: Source
    failed: Unparsed | None
    way: Way | None
    names: frozenset[str]

    def shows(self) -> Source | None:
        """Return the source with the text that was reached, None when that does not parse."""
        if self.way is None or self.way.remaining:
            return None
        return with_text(self.source, self.way.text)


def look_at(parsed: Parsed, absent: Collection[str] = ()) -> Reached | None:
    """Return what there may be to mend in a file that parses; None when it is well by the file alone.

    absent: packages that are told to be absent where the code will run.
    """
    source = parsed.source
    view = View(source, parsed)
    if (
        not (view.unresolved or is_suspect(view, absent))
        or view_of(source) is None
        or with_text(source, view.text) != source
    ):
        return None
    names = frozenset(item.name for item in view.unresolved)
    return Reached(source, None, Way(view.text, (), 0, 0), names)


def reach(source: Source, failed: Unparsed) -> Reached:
    """Return the best text for a source that does not parse: of several that with the fewest names lost."""
    if with_text(source, source.text()) != source:
        # Its bytes are not all text of its encoding: no change could leave the rest as it is.
        return Reached(source, failed, None, frozenset())
    best: tuple[tuple[int, int, int], Way, frozenset[str]] | None = None
    lost = _bound_before(source.text())
    partial: Way | None = None
    for order, way in enumerate(itertools.islice(ways(source.text()), _MOST_WAYS)):
        if way.remaining:
            partial = way
            continue
        view = _view(source, way.text)
        if view is None:
            continue
        unresolved = frozenset(item.name for item in view.unresolved)
        rank = (len(unresolved & lost), way.doubt, order)
        if best is None or rank < best[0]:
            best = (rank, way, unresolved)
        if not rank[0]:
            break
    if best is None:
        return Reached(source, failed, partial, frozenset())
    return Reached(source, failed, best[1], best[2])


def conclude(reached: Reached, shown: Shown, around: Around) -> Proposal:
    """Return the proposal for a file: names and start mended by what the tree shows, the gates held.

    shown: the names of the tree; around: what else is asked of it.
    """
    source, way = reached.source, reached.way
    damage = diagnose(source, reached.failed) if reached.failed is not None else None
    if way is None:
        return _refusal(source, damage)
    before = source.text()
    steps, text = _replayed(before, way.steps)
    view = None if way.remaining else _view(source, text)
    if view is not None:
        view, mended = mend_names(view, shown)
        view, started = mend_startup(view, around)
        for candidate, earlier in (*mended, *started):
            steps.append(_step(candidate, earlier, apply_edits(earlier, candidate.edits)))
        text = view.text
    after = with_text(source, text)
    if after is None:
        return _refusal(source, damage)
    undefined = _undefined(view, reached) if view is not None else ()
    gates: dict[Gate, bool] = {
        "parses": not way.remaining,
        "compiles": view is not None,
        "untouched": all(step is not None for step in steps),
        "names": not any(name.is_new for name in undefined),
    }
    held = tuple(step for step in steps if step is not None)
    return Proposal(source.path, damage, source.data, after.data, held, gates, undefined)


def _refusal(source: Source, damage: Diagnosis | None) -> Proposal:
    gates: dict[Gate, bool] = {"parses": False, "compiles": False, "untouched": True, "names": True}
    return Proposal(source.path, damage, source.data, source.data, (), gates, ())


def _replayed(text: str, candidates: tuple[Candidate, ...]) -> tuple[list[Step | None], str]:
    steps: list[Step | None] = []
    for candidate in candidates:
        after = apply_edits(text, candidate.edits)
        steps.append(_step(candidate, text, after))
        text = after
    return steps, text


def _step(candidate: Candidate, before: str, after: str) -> Step | None:
    """Return a step as it is told; None when it changed more than its own statements."""
    proof = compare(before, after, candidate.edits)
    if not proof.holds:
        return None
    family = family_of(candidate.rule, _lines_touched(candidate, before))
    return Step(
        candidate.rule,
        candidate.line,
        candidate.said,
        proof.kept,
        candidate.choices,
        family.name if family is not None else "",
    )


def _lines_touched(candidate: Candidate, text: str) -> str:
    spans = sorted({(line_start(text, edit.start), line_stop(text, edit.end)) for edit in candidate.edits})
    return "".join(text[start:stop] for start, stop in spans)


def _view(source: Source, text: str) -> View | None:
    other = with_text(source, text)
    return view_of(other) if other is not None else None


def _undefined(view: View, reached: Reached) -> tuple[Name, ...]:
    """Return the names that are left. New is one that the broken text bound, or that all uses of had."""

    def is_new(item: Unresolved) -> bool:
        if reached.failed is None:
            return item.name not in reached.names
        return item.name in known and not item.bound_line

    known = _bound_before(reached.source.text()) if reached.failed is not None else frozenset()
    return tuple(Name(item.name, item.line, item.bound_line, is_new(item)) for item in view.unresolved)


def _bound_before(text: str) -> frozenset[str]:
    """Return the names that statements at column 0 of the broken text bind: a repair could unbind them."""
    found: set[str] = set()
    for statement in read_statements(text):
        if statement.indent:
            continue
        found |= names_bound(statement)
        if statement.word in ("def", "class") and len(statement.tokens) > 1:
            words = [token.text for token in statement.tokens if token.kind == "name"]
            found.update(words[:1])
    return frozenset(found)
