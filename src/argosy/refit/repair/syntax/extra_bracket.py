"""Removes a surplus closing bracket.

In a row of closing brackets any may be removed, the text is the same. If there are several rows, the one that
leaves no comma outside every bracket is likelier: `f(a), b)` was one call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from argosy.refit.analysis.block_structure import BreakKind
from argosy.refit.analysis.lenient_statements import CLOSING_BRACKETS, OPENING_BRACKETS, SourceStatement
from argosy.refit.analysis.lenient_tokens import Token
from argosy.refit.repair.broken_source import BrokenSource
from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.span_edit import SpanEdit

NAME = "extra-bracket"


def propose(broken: BrokenSource) -> Iterator[RepairCandidate]:
    structure_break = broken.structure_break
    if structure_break is None or structure_break.kind not in (
        BreakKind.EXTRA_BRACKET,
        BreakKind.CROSSED_BRACKET,
    ):
        return
    statement = broken.statements[structure_break.index]
    if structure_break.kind is BreakKind.EXTRA_BRACKET:
        brackets = _candidate_brackets(statement, structure_break.token)
    else:
        # A bracket of another type in between is the surplus one if a bracket is left over at the end.
        brackets = [structure_break.token] if statement.extra_brackets else []
    for penalty, token in enumerate(brackets):
        edit = SpanEdit(token.start, token.end, "")
        description = f"a `{token.text}` too many is removed"
        yield RepairCandidate(NAME, token.line, (edit,), description, penalty, len(brackets))


def _candidate_brackets(statement: SourceStatement, stray: Token) -> list[Token]:
    """Return one bracket of each row that may be the surplus one, the likeliest first."""
    earlier = _last_closing_before(statement.tokens, stray)
    if earlier is None:
        return [stray]
    return [earlier, stray] if _follows_comma(statement.tokens, earlier) else [stray, earlier]


def _last_closing_before(tokens: Sequence[Token], stray: Token) -> Token | None:
    """Return the last bracket before the surplus one that closed everything; None if both are in one row."""
    depth = 0
    found: Token | None = None
    for before, token in pairwise(tokens):
        if before.kind == "operator" and before.text in OPENING_BRACKETS:
            depth += 1
        elif before.kind == "operator" and before.text in CLOSING_BRACKETS:
            depth -= 1
            if depth == 0 and before.text == stray.text:
                found = before
        if token is stray:
            return None if found is before else found
    return None


def _follows_comma(tokens: Sequence[Token], bracket: Token) -> bool:
    return any(token.text == "," for before, token in pairwise(tokens) if before is bracket)
