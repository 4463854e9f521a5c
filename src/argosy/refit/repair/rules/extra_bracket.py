"""A closing bracket too many: it is taken out.

Of a row of closing brackets any may go, the text is the same. Where there are several rows, the one
that leaves no comma outside every bracket is likelier: `f(a), b)` was one call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from argosy.refit.outline import Break
from argosy.refit.repair.broken import Broken
from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit
from argosy.refit.statements import CLOSING, OPENING, Statement
from argosy.refit.tokens import Token

NAME = "extra-bracket"


def propose(broken: Broken) -> Iterator[Candidate]:
    fracture = broken.fracture
    if fracture is None or fracture.kind not in (Break.STRAY, Break.CROSSED):
        return
    statement = broken.statements[fracture.at]
    if fracture.kind is Break.STRAY:
        ways = _ways(statement, fracture.token)
    else:
        # One of another kind in between: it is the one too many when another is left over at the end.
        ways = [fracture.token] if statement.stray else []
    for doubt, token in enumerate(ways):
        edit = Edit(token.start, token.end, "")
        said = f"a `{token.text}` too many is taken out"
        yield Candidate(NAME, token.line, (edit,), said, doubt, len(ways))


def _ways(statement: Statement, stray: Token) -> list[Token]:
    """Return one bracket of each row that may be the wrong one, the likeliest first."""
    earlier = _closed_before(statement.tokens, stray)
    if earlier is None:
        return [stray]
    return [earlier, stray] if _follows_comma(statement.tokens, earlier) else [stray, earlier]


def _closed_before(tokens: Sequence[Token], stray: Token) -> Token | None:
    """Return the last bracket before the stray one that closed everything; None when they are one row."""
    depth = 0
    found: Token | None = None
    for before, token in pairwise(tokens):
        if before.kind == "operator" and before.text in OPENING:
            depth += 1
        elif before.kind == "operator" and before.text in CLOSING:
            depth -= 1
            if depth == 0 and before.text == stray.text:
                found = before
        if token is stray:
            return None if found is before else found
    return None


def _follows_comma(tokens: Sequence[Token], bracket: Token) -> bool:
    return any(token.text == "," for before, token in pairwise(tokens) if before is bracket)
