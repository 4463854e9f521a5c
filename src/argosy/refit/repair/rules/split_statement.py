"""Whole lines in the middle of a statement: `READY ` above them, and `= True` behind the last of them.

A rewrite inserted its lines at a place inside a line. They move above the statement that they split,
and its two halves are one line again.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.island import is_injectable
from argosy.refit.repair.broken import Broken
from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit, line_start, newline_of
from argosy.refit.statements import CLOSING, OPENING, Statement
from argosy.refit.tokens import Token

NAME = "split-statement"
_MOST = 10


def propose(broken: Broken) -> Iterator[Candidate]:
    at = _last_line(broken)
    if at is None:
        return
    last = broken.statements[at]
    tail = _tail(last)
    start = at
    while start > 0 and at - start < _MOST and is_injectable(broken.statements[start]):
        if broken.statements[start].indent > 0:
            break
        start -= 1
    head = broken.statements[start]
    if tail is None or start == at or not _is_half(head):
        return
    top = start
    while top > 0 and broken.statements[top].indent > 0:
        top -= 1
    target = line_start(broken.text, broken.statements[top].first.start)
    first = line_start(broken.text, broken.statements[start + 1].first.start)
    moved = broken.text[first : tail.start] + newline_of(broken.text)
    edits = (Edit(target, target, moved), Edit(head.last.end, tail.start, " "))
    count = at - start
    said = f"{count} lines inside a statement move above it, and its halves are one again"
    yield Candidate(NAME, head.line, edits, said, 1)


def _last_line(broken: Broken) -> int | None:
    """Return the index of the statement that the split one ends behind, near the first break."""
    line = broken.fracture.token.line if broken.fracture is not None else broken.complaint.line
    at = broken.statement_at(line)
    if at is None:
        return None
    for index in range(max(at - 1, 0), min(at + _MOST, len(broken.statements))):
        if _tail(broken.statements[index]) is not None:
            return index
        if index > at and not is_injectable(broken.statements[index]):
            break
    return None


def _tail(statement: Statement) -> Token | None:
    """Return the token behind `name = call(...)`, where something that cannot follow it begins."""
    tokens = statement.tokens
    if statement.indent or len(tokens) < 6 or tokens[0].kind != "name" or tokens[1].text != "=":
        return None
    depth = 0
    for at, token in enumerate(tokens[2:-1], 2):
        depth += (token.text in OPENING) - (token.text in CLOSING)
        if token.text == ")" and depth == 0:
            following = tokens[at + 1]
            return (
                following
                if following.text in ("=", "(", "[") or following.kind in ("string", "name")
                else None
            )
    return None


def _is_half(statement: Statement) -> bool:
    """Return whether a statement cannot be whole: a name alone, or an operator or open bracket at its end."""
    is_name = all(token.kind == "name" or token.text == "." for token in statement.tokens)
    return is_name or statement.last.text in (
        "=",
        "+",
        "-",
        ",",
        "and",
        "or",
        "not",
        "return",
        "in",
        *OPENING,
    )
