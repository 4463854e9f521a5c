"""An `except` that belongs to no try.

Where its try has a handler of its own further down, this one was put in between, in the middle of
the block: it goes, with the single line below it. Where the try has none, the handler has only
lost its column, and goes back to that of the try.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from argosy.refit.outline import Break
from argosy.refit.repair.broken import Broken
from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit, lines_of, set_margin
from argosy.refit.statements import Statement

NAME = "stray-handler"


def propose(broken: Broken) -> Iterator[Candidate]:
    fracture = broken.fracture
    if fracture is None or fracture.kind not in (Break.HANDLER, Break.LONELY):
        return
    statements, at = broken.statements, fracture.at
    if statements[at].word != "except" or at + 1 >= len(statements):
        return
    opening = _open_try(statements, at)
    if opening is None:
        return
    has_own = _has_own_handler(statements, at, statements[opening].indent)
    ways = [_out(broken, at), _back(broken, at, opening)]
    found = [way for way in (ways if has_own else ways[::-1]) if way is not None]
    for doubt, (edits, said) in enumerate(found):
        yield Candidate(NAME, statements[at].line, edits, said, doubt, len(found))


def _out(broken: Broken, at: int) -> tuple[tuple[Edit, ...], str] | None:
    """Return the way that takes the handler out; only one simple line of body may go with it."""
    handler, body = broken.statements[at : at + 2]
    if not handler.is_opener or body.is_opener or body.indent <= handler.indent:
        return None
    start, stop = lines_of(broken.text, (handler, body))
    written = broken.text[handler.first.start : handler.last.end]
    return (Edit(start, stop, ""),), f"a handler in the middle of a block is taken out: `{written}`"


def _back(broken: Broken, at: int, opening: int) -> tuple[tuple[Edit, ...], str] | None:
    """Return the way that moves the handler, and what is below it, to the column of its try."""
    statements = broken.statements
    handler, target = statements[at], statements[opening]
    if not handler.margin.startswith(target.margin) or handler.indent <= target.indent:
        return None
    extra = len(handler.margin) - len(target.margin)
    edits = [set_margin(handler, target.margin)]
    for statement in statements[at + 1 :]:
        if statement.indent <= handler.indent:
            break
        if not statement.margin.startswith(handler.margin):
            return None
        edits.append(
            set_margin(
                statement,
                statement.margin[: len(target.margin)] + statement.margin[len(target.margin) + extra :],
            )
        )
    return tuple(edits), "a handler goes to the column of its try"


def _open_try(statements: Sequence[Statement], at: int) -> int | None:
    """Return the index of the innermost try that has no handler yet where the statement `at` stands."""
    closed: set[int] = set()
    column = 1 << 30
    for index in range(at - 1, -1, -1):
        statement = statements[index]
        if statement.word in ("except", "finally"):
            closed.add(statement.indent)
        if statement.indent < column or statement.indent in closed:
            if statement.word == "try" and statement.is_opener:
                if statement.indent not in closed:
                    return index
                closed.discard(statement.indent)
            column = min(column, statement.indent)
        if statement.word in ("def", "class") and statement.indent == 0:
            break
    return None


def _has_own_handler(statements: Sequence[Statement], at: int, column: int) -> bool:
    """Return whether a handler at `column` follows, with nothing in between that ends the block there."""
    for statement in statements[at + 1 :]:
        if statement.indent == column and statement.word in ("except", "finally"):
            return True
        if statement.indent <= column and statement.word in ("def", "class", "try"):
            return False
    return False
