"""A header with nothing below it.

Where the lines after it stand at its own column, they were its block, and move right: up to the
handler of a try, up to what ends the flow (`return`), up to a blank line after which the block goes on, or to
the end of the lines at that column. Where nothing can have been its block, `pass` says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from argosy.refit.island import find_island, step_of
from argosy.refit.outline import Break
from argosy.refit.repair.broken import Broken
from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit, line_start, newline_of
from argosy.refit.statements import Statement

NAME = "empty-block"
_ENDS = frozenset({"return", "raise", "continue", "break"})
_JOINED = frozenset({"except", "finally", "else", "elif"})


def propose(broken: Broken) -> Iterator[Candidate]:
    fracture = broken.fracture
    if fracture is None or fracture.kind is not Break.EMPTY:
        return
    statements, at = broken.statements, fracture.at
    is_end = at == len(statements) - 1 and statements[at].is_opener
    header = statements[at] if is_end else statements[at - 1]
    if not is_end and find_island(statements, fracture) is not None:
        return
    ways = [] if is_end else list(_extents(broken, at))
    for doubt, stop in enumerate(ways):
        count = stop - at
        what = "a line moves" if count == 1 else f"{count} lines move"
        yield Candidate(
            NAME,
            header.line,
            tuple(_moved(broken, at, stop)),
            f"{what} below the `{header.word}` of line {header.line}",
            doubt,
            len(ways),
        )
    if (
        not ways
        and not _is_header_lost(statements, at)
        and header.word not in ("class", "for", "while", "with", "if", "elif")
    ):
        margin = header.margin + " " * step_of(statements)
        edit = Edit(header.last.end, header.last.end, f"{newline_of(broken.text)}{margin}pass")
        yield Candidate(NAME, header.line, (edit,), f"the empty `{header.word}` gets a `pass`", 1, 1)


def _is_header_lost(statements: Sequence[Statement], at: int) -> bool:
    """Return whether what follows is a header whose block is two steps deeper: the header was moved."""
    if at + 1 >= len(statements) or not statements[at].is_opener:
        return False
    return statements[at + 1].indent > statements[at].indent + step_of(statements)


def _extents(broken: Broken, at: int) -> Iterator[int]:
    """Yield where the block that begins at `at` may end, without the last, the likeliest first."""
    statements = broken.statements
    column, word = statements[at - 1].indent, statements[at - 1].word
    if statements[at].indent != column or statements[at].word in (*_JOINED, "def", "class"):
        return
    stop = at
    goes_on: list[int] = []
    ends: list[int] = []
    while stop < len(statements) and statements[stop].indent >= column:
        current = statements[stop]
        if current.indent == column and current.word in (*_JOINED, "def", "class"):
            break
        stop += 1
        following = statements[stop].indent if _is_apart(statements, stop) else -1
        if following == column + step_of(statements):
            goes_on.append(stop)
        elif word != "try" and current.indent == column and (current.word in _ENDS or following == column):
            ends.append(stop)
    yield from dict.fromkeys([*goes_on[:1], *ends[:2], stop])


def _is_apart(statements: Sequence[Statement], at: int) -> bool:
    """Return whether a blank line, or a comment, stands above the statement `at`."""
    return at < len(statements) and statements[at].line > statements[at - 1].end_line + 1


def _moved(broken: Broken, at: int, stop: int) -> Iterator[Edit]:
    """Yield the changes that move the statements right by one step, each line of them."""
    header = broken.statements[at - 1]
    extra = "\t" if header.margin.endswith("\t") else " " * step_of(broken.statements)
    for statement in broken.statements[at:stop]:
        for start in _line_starts(broken.text, statement):
            yield Edit(start, start, extra)


def _line_starts(text: str, statement: Statement) -> Sequence[int]:
    """Return where the lines of a statement begin, but none that begins inside of a text."""
    found: list[int] = []
    for token in statement.tokens:
        start = line_start(text, token.start)
        if not text[start : token.start].strip(" \t\f") and start not in found:
            found.append(start)
    return found
