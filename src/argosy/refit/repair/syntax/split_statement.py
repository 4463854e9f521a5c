"""Moves whole lines out of the middle of a statement: `READY ` above them, and `= True` after the last.

A rewrite inserted the lines inside a line. They move above the statement that they split, and its two halves
are joined.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.analysis.injected_block import is_injectable
from argosy.refit.analysis.lenient_statements import CLOSING_BRACKETS, OPENING_BRACKETS, SourceStatement
from argosy.refit.analysis.lenient_tokens import Token
from argosy.refit.repair.broken_source import BrokenSource
from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.span_edit import SpanEdit, detect_newline, line_start

NAME = "split-statement"
_MAX_STATEMENTS = 10


def propose(broken: BrokenSource) -> Iterator[RepairCandidate]:
    at = _last_inserted_index(broken)
    if at is None:
        return
    last = broken.statements[at]
    tail = _unexpected_token(last)
    start = at
    while start > 0 and at - start < _MAX_STATEMENTS and is_injectable(broken.statements[start]):
        if broken.statements[start].indent > 0:
            break
        start -= 1
    head = broken.statements[start]
    if tail is None or start == at or not _is_incomplete(head):
        return
    top = start
    while top > 0 and broken.statements[top].indent > 0:
        top -= 1
    target = line_start(broken.text, broken.statements[top].first_token.start)
    first = line_start(broken.text, broken.statements[start + 1].first_token.start)
    moved_text = broken.text[first : tail.start] + detect_newline(broken.text)
    edits = (SpanEdit(target, target, moved_text), SpanEdit(head.last_token.end, tail.start, " "))
    count = at - start
    description = f"{count} lines inside a statement move above it, and its halves are joined"
    yield RepairCandidate(NAME, head.line, edits, description, 1)


def _last_inserted_index(broken: BrokenSource) -> int | None:
    """Return the index of the statement before the second half of the split one, near the first break."""
    line = (
        broken.structure_break.token.line if broken.structure_break is not None else broken.first_problem.line
    )
    at = broken.statement_index(line)
    if at is None:
        return None
    for index in range(max(at - 1, 0), min(at + _MAX_STATEMENTS, len(broken.statements))):
        if _unexpected_token(broken.statements[index]) is not None:
            return index
        if index > at and not is_injectable(broken.statements[index]):
            break
    return None


def _unexpected_token(statement: SourceStatement) -> Token | None:
    """Return the token after `name = call(...)`, if something begins there that cannot follow it."""
    tokens = statement.tokens
    if statement.indent or len(tokens) < 6 or tokens[0].kind != "name" or tokens[1].text != "=":
        return None
    depth = 0
    for at, token in enumerate(tokens[2:-1], 2):
        depth += (token.text in OPENING_BRACKETS) - (token.text in CLOSING_BRACKETS)
        if token.text == ")" and depth == 0:
            following = tokens[at + 1]
            return (
                following
                if following.text in ("=", "(", "[") or following.kind in ("string", "name")
                else None
            )
    return None


def _is_incomplete(statement: SourceStatement) -> bool:
    """Return whether a statement is incomplete: only a name, or an operator or open bracket at its end."""
    is_name = all(token.kind == "name" or token.text == "." for token in statement.tokens)
    return is_name or statement.last_token.text in (
        "=",
        "+",
        "-",
        ",",
        "and",
        "or",
        "not",
        "return",
        "in",
        *OPENING_BRACKETS,
    )
