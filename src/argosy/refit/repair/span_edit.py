"""Text edits: spans that are replaced."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from argosy.refit.analysis.lenient_statements import SourceStatement


class SpanEdit(msgspec.Struct, frozen=True, order=True):
    """Replaces the text from `start` to `end` (offsets in characters) by `text`."""

    start: int
    end: int
    text: str


def apply_edits(text: str, edits: Iterable[SpanEdit]) -> str:
    """Return `text` with all of `edits` applied at once. Raises ValueError: two of them overlap."""
    parts: list[str] = []
    at = 0
    for edit in sorted(edits):
        if edit.start < at or edit.end < edit.start or edit.end > len(text):
            raise ValueError(f"the edit at {edit.start} overlaps the one before it")
        parts += [text[at : edit.start], edit.text]
        at = edit.end
    return "".join([*parts, text[at:]])


def line_start(text: str, offset: int) -> int:
    """Return the offset where the line of `offset` begins."""
    if text[offset - 1 : offset + 1] == "\r\n":
        offset -= 1
    return max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1


def next_line_start(text: str, offset: int) -> int:
    """Return the offset where the next line after `offset` begins, or the end of the text."""
    for at in range(offset, len(text)):
        if text[at] == "\n" or (text[at] == "\r" and text[at + 1 : at + 2] != "\n"):
            return at + 1
    return len(text)


def whole_lines_span(text: str, statements: Sequence[SourceStatement]) -> tuple[int, int]:
    """Return the span of the whole lines of consecutive `statements`."""
    return line_start(text, statements[0].first_token.start), next_line_start(
        text, statements[-1].last_token.end
    )


def detect_newline(text: str) -> str:
    """Return the line end of the first line of `text`; a line feed if it has only one line."""
    for at, char in enumerate(text):
        if char == "\r":
            return "\r\n" if text[at + 1 : at + 2] == "\n" else "\r"
        if char == "\n":
            return "\n"
    return "\n"


def reindent_first_line(statement: SourceStatement, indentation: str) -> SpanEdit:
    """Return the edit that gives the first line of `statement` another indentation."""
    return SpanEdit(statement.start, statement.first_token.start, indentation)
