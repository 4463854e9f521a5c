"""Statements left of the block around them, which continues below: lines that a text rewrite injected.

Such rewrites insert lines "after the last import" found by a pattern, which also finds imports inside
functions, and write them at column 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from argosy.refit.analysis.block_structure import BreakKind, StructureBreak
from argosy.refit.analysis.lenient_statements import SourceStatement

_MAX_STATEMENTS = 12


class InjectedBlock(msgspec.Struct, frozen=True):
    """The statements from `start` to `stop` (exclusive), by index.

    resume_column: where the interrupted block continues. is_whole_body: without them the block would be
    empty.
    """

    start: int
    stop: int
    resume_column: int
    is_whole_body: bool


def find_injected_block(
    statements: Sequence[SourceStatement], structure_break: StructureBreak
) -> InjectedBlock | None:
    """Return the injected block that causes a break of the indentation, or None."""
    index = structure_break.index
    if structure_break.kind is BreakKind.EMPTY_BLOCK:
        return _block_below_header(statements, index)
    if structure_break.kind is BreakKind.TRY_WITHOUT_HANDLER:
        return _block_inside_try(statements, index)
    if structure_break.kind in (BreakKind.UNEXPECTED_INDENT, BreakKind.UNMATCHED_DEDENT):
        return _block_above(statements, index)
    return None


def is_injectable(statement: SourceStatement) -> bool:
    """Return whether rewrites inject such a statement: an import, a constant, a change of the path."""
    if statement.is_block_header or statement.extra_brackets or statement.crossed_brackets:
        return False
    tokens = statement.tokens
    if statement.keyword in ("import", "from"):
        return True
    if len(tokens) == 1 and tokens[0].kind == "string":
        return True
    if tokens[0].text == "self":
        # Only a method has it.
        return True
    if tokens[0].kind != "name" or len(tokens) < 3:
        return False
    return tokens[1].text == "=" or [token.text for token in tokens[:4]] == ["sys", ".", "path", "."]


def _block_below_header(statements: Sequence[SourceStatement], at: int) -> InjectedBlock | None:
    """Return the injected block directly below a header, which has lost its block or its first lines."""
    header = statements[at - 1] if at else None
    stop = _end_of_run(statements, at)
    if header is None or stop == at:
        return None
    injected, after = statements[at:stop], statements[stop] if stop < len(statements) else None
    if any(item.indent > header.indent for item in injected):
        return None
    if after is not None and after.indent > header.indent:
        return InjectedBlock(at, stop, after.indent, False)
    has_handler = (
        after is not None and after.keyword in ("except", "finally") and after.indent == header.indent
    )
    is_import = all(item.keyword in ("import", "from") for item in injected)
    if header.keyword == "try" and has_handler and is_import and injected[0].indent == 0:
        return InjectedBlock(at, stop, header.indent + indent_width(statements), True)
    return None


def _block_inside_try(statements: Sequence[SourceStatement], at: int) -> InjectedBlock | None:
    """Return the injected block at `at`, which ended a try whose block continues after it."""
    stop = _end_of_run(statements, at)
    if stop == at or stop == len(statements) or at == 0:
        return None
    before, after = statements[at - 1], statements[stop]
    if statements[at].indent == 0 and after.indent > statements[at].indent and after.indent <= before.indent:
        return InjectedBlock(at, stop, after.indent, False)
    return None


def _block_above(statements: Sequence[SourceStatement], at: int) -> InjectedBlock | None:
    """Return the injected block above `at`, where the interrupted block continues."""
    column = statements[at].indent
    start = at
    while start > 0 and at - start < _MAX_STATEMENTS:
        before = statements[start - 1]
        if before.indent >= column or not is_injectable(before):
            break
        start -= 1
    if start in (0, at):
        return None
    before = statements[start - 1]
    is_inside_block = before.indent >= column or (before.is_block_header and before.indent < column)
    return InjectedBlock(start, at, column, False) if is_inside_block else None


def _end_of_run(statements: Sequence[SourceStatement], at: int) -> int:
    stop = at
    while stop < len(statements) and stop - at < _MAX_STATEMENTS and is_injectable(statements[stop]):
        if statements[stop].indent != statements[at].indent:
            break
        stop += 1
    return stop


def indent_width(statements: Sequence[SourceStatement]) -> int:
    """Return the indentation step of a file: the most frequent one below a header."""
    steps: dict[int, int] = {}
    for before, after in pairwise(statements):
        if before.is_block_header and after.indent > before.indent:
            step = after.indent - before.indent
            steps[step] = steps.get(step, 0) + 1
    return max(steps, key=lambda step: steps[step]) if steps else 4
