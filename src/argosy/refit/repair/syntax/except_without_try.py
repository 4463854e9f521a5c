"""Repairs an `except` that belongs to no try.

If its try has a handler of its own further down, this one was inserted into the middle of the block: it is
removed, with the single line below it. If the try has none, the handler has only lost its column, and is
moved back to that of the try.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from argosy.refit.analysis.block_structure import BreakKind
from argosy.refit.analysis.lenient_statements import SourceStatement
from argosy.refit.repair.broken_source import BrokenSource
from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.span_edit import SpanEdit, reindent_first_line, whole_lines_span

NAME = "except-without-try"


def propose(broken: BrokenSource) -> Iterator[RepairCandidate]:
    structure_break = broken.structure_break
    if structure_break is None or structure_break.kind not in (
        BreakKind.ORPHAN_CLAUSE,
        BreakKind.TRY_WITHOUT_HANDLER,
    ):
        return
    statements, at = broken.statements, structure_break.index
    if statements[at].keyword != "except" or at + 1 >= len(statements):
        return
    opening = _find_open_try(statements, at)
    if opening is None:
        return
    has_own_handler = _has_own_handler(statements, at, statements[opening].indent)
    options = [_remove_handler(broken, at), _dedent_handler(broken, at, opening)]
    found = [way for way in (options if has_own_handler else options[::-1]) if way is not None]
    for penalty, (edits, description) in enumerate(found):
        yield RepairCandidate(NAME, statements[at].line, edits, description, penalty, len(found))


def _remove_handler(broken: BrokenSource, at: int) -> tuple[tuple[SpanEdit, ...], str] | None:
    """Return the candidate that removes the handler, if its body is a single simple line."""
    handler, body = broken.statements[at : at + 2]
    if not handler.is_block_header or body.is_block_header or body.indent <= handler.indent:
        return None
    start, stop = whole_lines_span(broken.text, (handler, body))
    handler_text = broken.text[handler.first_token.start : handler.last_token.end]
    return (SpanEdit(start, stop, ""),), f"a handler in the middle of a block is removed: `{handler_text}`"


def _dedent_handler(broken: BrokenSource, at: int, opening: int) -> tuple[tuple[SpanEdit, ...], str] | None:
    """Return the candidate that moves the handler, and its body, to the column of its try."""
    statements = broken.statements
    handler, target = statements[at], statements[opening]
    if not handler.leading_space.startswith(target.leading_space) or handler.indent <= target.indent:
        return None
    extra = len(handler.leading_space) - len(target.leading_space)
    edits = [reindent_first_line(handler, target.leading_space)]
    for statement in statements[at + 1 :]:
        if statement.indent <= handler.indent:
            break
        if not statement.leading_space.startswith(handler.leading_space):
            return None
        edits.append(
            reindent_first_line(
                statement,
                statement.leading_space[: len(target.leading_space)]
                + statement.leading_space[len(target.leading_space) + extra :],
            )
        )
    return tuple(edits), "a handler moves to the column of its try"


def _find_open_try(statements: Sequence[SourceStatement], at: int) -> int | None:
    """Return the index of the innermost try that has no handler yet at the statement `at`."""
    closed: set[int] = set()
    column = 1 << 30
    for index in range(at - 1, -1, -1):
        statement = statements[index]
        if statement.keyword in ("except", "finally"):
            closed.add(statement.indent)
        if statement.indent < column or statement.indent in closed:
            if statement.keyword == "try" and statement.is_block_header:
                if statement.indent not in closed:
                    return index
                closed.discard(statement.indent)
            column = min(column, statement.indent)
        if statement.keyword in ("def", "class") and statement.indent == 0:
            break
    return None


def _has_own_handler(statements: Sequence[SourceStatement], at: int, column: int) -> bool:
    """Return whether a handler at `column` follows before anything that ends the block."""
    for statement in statements[at + 1 :]:
        if statement.indent == column and statement.keyword in ("except", "finally"):
            return True
        if statement.indent <= column and statement.keyword in ("def", "class", "try"):
            return False
    return False
