"""The proof that a step changed nothing but the damaged region.

Written apart from what makes the changes: both texts are read again, and what stands on the lines that no
change touches has to be the same, token for token, each line at the same column, in the same order. So a
change that opens a text or a bracket, and swallows what follows, is found.
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
    """What a step left alone. kept: tokens on lines that no change touches. holds: they are the same."""

    unchanged_tokens: int
    is_unchanged: bool


def check_untouched(before: str, after: str, edits: Sequence[SpanEdit]) -> UntouchedCheck:
    """Return whether `after` differs from `before` in nothing but the lines that `edits` touch."""
    removed = [before[edit.start : edit.end] for edit in edits]
    old = _tokens_outside(before, [(edit.start, edit.end) for edit in edits], [edit.text for edit in edits])
    new = _tokens_outside(after, _spans_after(edits), removed)
    return UntouchedCheck(len(old), old == new)


def _spans_after(edits: Sequence[SpanEdit]) -> list[tuple[int, int]]:
    """Return the spans that the new texts have in the result, in the order of `edits`."""
    found: list[tuple[int, int]] = []
    for edit in edits:
        moved = sum(len(other.text) - (other.end - other.start) for other in edits if other < edit)
        found.append((edit.start + moved, edit.start + moved + len(edit.text)))
    return found


def _tokens_outside(
    text: str, spans: Sequence[tuple[int, int]], others: Sequence[str]
) -> list[tuple[str, int]]:
    """Return the tokens on lines that no span touches, with the column of each that begins a line.

    others: what stands in place of each span in the other text.
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
    """Return the tokens of code; what one step leaves is what the next begins with."""
    return tuple(token for token in tokenize_leniently(text) if token.is_code)


def _touched_lines(text: str, starts: Sequence[int], span: tuple[int, int], other: str) -> set[int]:
    """Return the lines, from 1, that a span reaches into: whole lines reach into none beside them."""
    begin, end = span
    first, last = bisect_right(starts, begin), bisect_right(starts, end)
    is_whole = begin == starts[first - 1] and all(
        not part or part.endswith(("\n", "\r")) for part in (text[begin:end], other)
    )
    return set(range(first, last if is_whole else last + 1))


def _count_line_ends(token: Token) -> int:
    """Return how many line ends are inside a token."""
    return token.text.replace("\r\n", "\n").replace("\r", "\n").count("\n")
