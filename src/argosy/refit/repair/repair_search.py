"""Searches for steps that turn a text that does not parse into one that does.

Best-first search: the state with the lowest penalty is expanded next, and of equal ones that with the first
break furthest down. A step counts only if it moves the first break down or removes it, so no two steps undo
each other; the number of states is bounded.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Mapping

import msgspec

from argosy.refit.repair.broken_source import BrokenSource, find_syntax_problem
from argosy.refit.repair.registry import SYNTAX_RULES
from argosy.refit.repair.repair_rule import RepairCandidate, SyntaxRule
from argosy.refit.transaction.text_edit import edit_text


class Solution(msgspec.Struct, frozen=True):
    """A text that was reached, and its steps. remaining_tokens: 0 if it parses."""

    text: str
    steps: tuple[RepairCandidate, ...]
    penalty: int
    remaining_tokens: int


# A file with a dozen damages needs a dozen states if each first guess is right.
MAX_STATES = 120


def find_solutions(
    text: str, *, max_states: int = MAX_STATES, rules: Mapping[str, SyntaxRule] = SYNTAX_RULES
) -> Iterator[Solution]:
    """Yield texts that parse, lowest penalty first, with their steps; if there are none, the best other text.

    max_states: how many states are expanded. Yields nothing for a text that parses, or if Python gives no
    position for its error.
    """
    try:
        problem = find_syntax_problem(text)
    except ValueError:
        return
    if problem is None:
        return
    start = BrokenSource(text, problem)
    best = Solution(text, (), 0, start.remaining_tokens)
    order = itertools.count()
    frontier: list[tuple[int, int, int, Solution, BrokenSource]] = [
        (0, start.remaining_tokens, next(order), best, start)
    ]
    seen = {text}
    has_found = False
    while frontier and max_states > 0:
        _, remaining, _, solution, broken = heapq.heappop(frontier)
        if remaining < best.remaining_tokens:
            best = solution
        max_states -= 1
        for successor in _expand(solution, broken, rules, seen):
            if isinstance(successor, Solution):
                has_found = True
                yield successor
            else:
                next_solution, next_source = successor
                heapq.heappush(
                    frontier,
                    (
                        next_solution.penalty,
                        next_source.remaining_tokens,
                        next(order),
                        next_solution,
                        next_source,
                    ),
                )
    if not has_found and best.steps:
        yield best


def _expand(
    solution: Solution, broken: BrokenSource, rules: Mapping[str, SyntaxRule], seen: set[str]
) -> Iterator[Solution | tuple[Solution, BrokenSource]]:
    for rule in rules.values():
        for candidate in rule(broken):
            text = edit_text(broken.text, candidate.edits)
            if text in seen:
                continue
            seen.add(text)
            steps, penalty = (*solution.steps, candidate), solution.penalty + candidate.penalty
            try:
                problem = find_syntax_problem(text)
            except ValueError:
                continue
            if problem is None:
                yield Solution(text, steps, penalty, 0)
                continue
            next_source = BrokenSource(text, problem)
            if next_source.remaining_tokens < broken.remaining_tokens:
                yield Solution(text, steps, penalty, next_source.remaining_tokens), next_source
