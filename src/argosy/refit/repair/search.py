"""The way from a text that does not parse to one that does, step by step.

Best first: the state that was reached with the least doubt is looked at next, and of two like it the
one whose first break is further down. A step counts only when it moves the first break down or
removes it, so that no two steps undo each other; the number of states is bounded.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Mapping

import msgspec

from argosy.refit.repair.broken import Broken, complaint_of
from argosy.refit.repair.candidate import Candidate, Rule
from argosy.refit.repair.edit import apply_edits
from argosy.refit.repair.rules import RULES


class Way(msgspec.Struct, frozen=True):
    """A text that was reached, and by which steps. remaining: 0 when it parses."""

    text: str
    steps: tuple[Candidate, ...]
    doubt: int
    remaining: int


# A file with a dozen damages takes a dozen states when each first guess is right.
MOST_STATES = 120


def ways(text: str, *, most: int = MOST_STATES, rules: Mapping[str, Rule] = RULES) -> Iterator[Way]:
    """Yield the texts that parse, the least doubtful first, with their steps; if none does, the best other.

    most: how many states are looked at. Yields nothing for a text that parses, or that Python
    refuses without telling a place.
    """
    try:
        complaint = complaint_of(text)
    except ValueError:
        return
    if complaint is None:
        return
    start = Broken(text, complaint)
    best = Way(text, (), 0, start.remaining)
    order = itertools.count()
    todo: list[tuple[int, int, int, Way, Broken]] = [(0, start.remaining, next(order), best, start)]
    seen = {text}
    has_found = False
    while todo and most > 0:
        _, remaining, _, way, broken = heapq.heappop(todo)
        if remaining < best.remaining:
            best = way
        most -= 1
        for following in _steps(way, broken, rules, seen):
            if isinstance(following, Way):
                has_found = True
                yield following
            else:
                reached, further = following
                heapq.heappush(todo, (reached.doubt, further.remaining, next(order), reached, further))
    if not has_found and best.steps:
        yield best


def _steps(
    way: Way, broken: Broken, rules: Mapping[str, Rule], seen: set[str]
) -> Iterator[Way | tuple[Way, Broken]]:
    for rule in rules.values():
        for candidate in rule(broken):
            text = apply_edits(broken.text, candidate.edits)
            if text in seen:
                continue
            seen.add(text)
            steps, doubt = (*way.steps, candidate), way.doubt + candidate.doubt
            try:
                complaint = complaint_of(text)
            except ValueError:
                continue
            if complaint is None:
                yield Way(text, steps, doubt, 0)
                continue
            further = Broken(text, complaint)
            if further.remaining < broken.remaining:
                yield Way(text, steps, doubt, further.remaining), further
