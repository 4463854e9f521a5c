"""Statements that stand left of the block around them, which goes on below: what a text rewrite injected.

Such rewrites insert lines "after the last import" found by a pattern, which also finds imports inside
functions, and write them at column 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from argosy.refit.outline import Break, Fracture
from argosy.refit.statements import Statement

_MOST = 12


class Island(msgspec.Struct, frozen=True):
    """The statements from `start` up to and without `stop`, by index.

    column: where the block that they interrupt goes on. is_only: without them the block would be empty.
    """

    start: int
    stop: int
    column: int
    is_only: bool


def find_island(statements: Sequence[Statement], fracture: Fracture) -> Island | None:
    """Return the island that a break of the indentation comes from, or None."""
    at = fracture.at
    if fracture.kind is Break.EMPTY:
        return _below_header(statements, at)
    if fracture.kind is Break.LONELY:
        return _to_the_return(statements, at)
    if fracture.kind in (Break.DEEPER, Break.BETWEEN):
        return _back_from(statements, at)
    return None


def is_injectable(statement: Statement) -> bool:
    """Return whether this is what rewrites inject: an import, a constant, a change of the path."""
    if statement.is_opener or statement.stray or statement.crossed:
        return False
    tokens = statement.tokens
    if statement.word in ("import", "from"):
        return True
    if len(tokens) == 1 and tokens[0].kind == "string":
        return True
    if tokens[0].text == "self":
        # Only a method has it.
        return True
    if tokens[0].kind != "name" or len(tokens) < 3:
        return False
    return tokens[1].text == "=" or [token.text for token in tokens[:4]] == ["sys", ".", "path", "."]


def _below_header(statements: Sequence[Statement], at: int) -> Island | None:
    """The island right under a header, which has lost its block, or the first lines of it."""
    header = statements[at - 1] if at else None
    stop = _run(statements, at)
    if header is None or stop == at:
        return None
    island, after = statements[at:stop], statements[stop] if stop < len(statements) else None
    if any(item.indent > header.indent for item in island):
        return None
    if after is not None and after.indent > header.indent:
        return Island(at, stop, after.indent, False)
    is_handled = after is not None and after.word in ("except", "finally") and after.indent == header.indent
    is_import = all(item.word in ("import", "from") for item in island)
    if header.word == "try" and is_handled and is_import and island[0].indent == 0:
        return Island(at, stop, header.indent + step_of(statements), True)
    return None


def _to_the_return(statements: Sequence[Statement], at: int) -> Island | None:
    """The island at `at`, which ended a try whose block goes on after it."""
    stop = _run(statements, at)
    if stop == at or stop == len(statements) or at == 0:
        return None
    before, after = statements[at - 1], statements[stop]
    if statements[at].indent == 0 and after.indent > statements[at].indent and after.indent <= before.indent:
        return Island(at, stop, after.indent, False)
    return None


def _back_from(statements: Sequence[Statement], at: int) -> Island | None:
    """The island above `at`, where its block goes on."""
    column = statements[at].indent
    start = at
    while start > 0 and at - start < _MOST:
        before = statements[start - 1]
        if before.indent >= column or not is_injectable(before):
            break
        start -= 1
    if start in (0, at):
        return None
    before = statements[start - 1]
    is_inside = before.indent >= column or (before.is_opener and before.indent < column)
    return Island(start, at, column, False) if is_inside else None


def _run(statements: Sequence[Statement], at: int) -> int:
    stop = at
    while stop < len(statements) and stop - at < _MOST and is_injectable(statements[stop]):
        if statements[stop].indent != statements[at].indent:
            break
        stop += 1
    return stop


def step_of(statements: Sequence[Statement]) -> int:
    """Return by how much the file indents: its most frequent step below a header."""
    steps: dict[int, int] = {}
    for before, after in pairwise(statements):
        if before.is_opener and after.indent > before.indent:
            step = after.indent - before.indent
            steps[step] = steps.get(step, 0) + 1
    return max(steps, key=lambda step: steps[step]) if steps else 4
