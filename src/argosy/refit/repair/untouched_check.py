"""Proves that a step changed nothing but the damaged lines.

It is independent of the code that makes the edits: both texts are tokenized again, and all tokens on lines
that no edit touches have to be equal, in the same order, each line at the same column. So an edit that opens
a string or a bracket and swallows the following code is detected.
"""

from __future__ import annotations

import functools
import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

import msgspec

from argosy.refit.analysis.lenient_tokens import Token, tokenize_leniently
from argosy.refit.repair.span_edit import SpanEdit

_MAY_SPAN_LINES: Final = frozenset({"string", "open_string"})
_LINE_END = re.compile(r"\r\n|\r|\n")


class UntouchedCheck(msgspec.Struct, frozen=True):
    """The result of a check. unchanged_tokens: on lines without an edit. is_unchanged: they are equal."""

    unchanged_tokens: int
    is_unchanged: bool


def check_untouched(before: str, after: str, edits: Sequence[SpanEdit]) -> UntouchedCheck:
    """Return whether `after` differs from `before` only in the lines that `edits` touch."""
    removed = [before[edit.start : edit.end] for edit in edits]
    old = _tokens_outside(before, [(edit.start, edit.end) for edit in edits], [edit.text for edit in edits])
    new = _tokens_outside(after, _spans_after(edits), removed)
    return UntouchedCheck(len(old), old == new)


def _spans_after(edits: Sequence[SpanEdit]) -> list[tuple[int, int]]:
    """Return the spans of the new texts in the result, in the order of `edits`."""
    found: list[tuple[int, int]] = []
    for edit in edits:
        moved = sum(len(other.text) - (other.end - other.start) for other in edits if other < edit)
        found.append((edit.start + moved, edit.start + moved + len(edit.text)))
    return found


def _tokens_outside(
    text: str, spans: Sequence[tuple[int, int]], others: Sequence[str]
) -> list[tuple[str, int]]:
    """Return the tokens on lines that no span touches, with the column of each that begins a line.

    others: the text that replaces each span in the other version.
    """
    starts = [0, *(match.end() for match in _LINE_END.finditer(text))]
    touched: set[int] = set()
    for (begin, end), other in zip(spans, others, strict=True):
        touched |= _touched_lines(text, starts, (begin, end), other)
    found: list[tuple[str, int]] = []
    last = 0
    for token in _code_tokens(text):
        line = stop = token.line
        if token.kind in _MAY_SPAN_LINES:
            stop += _count_line_ends(token)
        if line not in touched and (stop == line or touched.isdisjoint(range(line + 1, stop + 1))):
            found.append((token.text, token.column if line > last else -1))
        last = stop
    return found


@functools.lru_cache(maxsize=2)
def _code_tokens(text: str) -> tuple[Token, ...]:
    """Return the code tokens; cached, since one step's result is the next step's input."""
    return tuple(token for token in tokenize_leniently(text) if token.is_code)


def _touched_lines(text: str, starts: Sequence[int], span: tuple[int, int], other: str) -> set[int]:
    """Return the lines, from 1, that a span touches; whole lines touch no others."""
    begin, end = span
    first, last = bisect_right(starts, begin), bisect_right(starts, end)
    is_whole = begin == starts[first - 1] and all(
        not part or part.endswith(("\n", "\r")) for part in (text[begin:end], other)
    )
    return set(range(first, last if is_whole else last + 1))


def _count_line_ends(token: Token) -> int:
    """Return how many line ends are inside a token."""
    return token.text.replace("\r\n", "\n").replace("\r", "\n").count("\n")
