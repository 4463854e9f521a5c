"""Joins a string that is broken at a line end: `print("` and the rest on the next line.

A program that generates programs wrote a line end instead of the two characters of its escape. The two lines
are joined by the escape again.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.analysis.lenient_tokens import Token
from argosy.refit.repair.broken_source import BrokenSource
from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.span_edit import SpanEdit, next_line_start

NAME = "split-string"


def propose(broken: BrokenSource) -> Iterator[RepairCandidate]:
    token = _unterminated_string(broken)
    if token is None:
        return
    quote = token.text.lstrip("rRbBuUfFtT")[0]
    stop = next_line_start(broken.text, token.end)
    following = broken.text[stop : next_line_start(broken.text, stop)]
    if quote in token.text.lstrip("rRbBuUfFtT")[1:] or quote not in following:
        return
    yield RepairCandidate(
        NAME,
        token.line,
        (SpanEdit(token.end, stop, "\\n"),),
        "a line end inside a string becomes an escape again",
    )


def _unterminated_string(broken: BrokenSource) -> Token | None:
    at = broken.statement_index(broken.break_line)
    if at is None:
        return None
    for token in broken.statements[at].tokens:
        if token.kind == "open_string":
            is_triple = token.text.lstrip("rRbBuUfFtT").startswith(('"""', "'''"))
            is_raw = "r" in token.text[: len(token.text) - len(token.text.lstrip("rRbBuUfFtT"))].lower()
            return None if is_triple or is_raw else token
    return None
