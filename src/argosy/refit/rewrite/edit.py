"""From changes to bytes: spans of characters, edited from right to left, all else byte for byte."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Sequence

import msgspec

from argosy.refit.rewrite.change import Change, Inserted, Place, Removed, Replaced
from argosy.refit.rewrite.text import Text, UnfaithfulError
from argosy.source.text import Source

_LINE_END = re.compile(r"\r\n|\r|\n")
_REST_OF_LINE = re.compile(r"[ \t\f]*(#.*)?")


class Edit(msgspec.Struct, frozen=True, order=True):
    """The characters from `start` up to `stop` become `new`."""

    start: int
    stop: int
    new: str


# (line, by) of each change that moves lines.
Moves = list[tuple[int, int]]


def rewrite(source: Source, changes: Sequence[Change]) -> bytes:
    """Return the file with its changes made.

    Raises UnfaithfulError: an encoding that does not lead back, places that are not there or hold
    something else, changes that overlap.
    """
    text = Text(source)
    return apply(text, [edit for change in changes for edit in _edits(text, change)])


def line_moves(source: Source, changes: Sequence[Change]) -> Moves:
    """Return (line, by) of each change that moves lines: those from that one on, by so many."""
    text = Text(source)
    found = []
    for edit in sorted(edit for change in changes for edit in _edits(text, change)):
        by = len(_LINE_END.findall(edit.new)) - len(_LINE_END.findall(text.text[edit.start : edit.stop]))
        line = text.line_of(edit.start)
        is_whole = by < 0 and edit.start == text.line_start(line)
        if by:
            found.append((line if is_whole else line + 1, by))
    return found


def line_before(moves: Moves, line: int) -> int:
    """Return where a line of the output was in the input."""
    moved = 0
    for first, by in moves:
        if line - moved >= first:
            moved += by
    return line - moved


def apply(text: Text, edits: Sequence[Edit]) -> bytes:
    """Return the file with spans of its text exchanged.

    Raises UnfaithfulError: two edits overlap or share their place, or the result is not the kept bytes
    with the new ones between them (encodings with a shift state).
    """
    ordered = sorted(edits)
    for left, right in itertools.pairwise(ordered):
        if left.stop > right.start or left.start == right.start:
            raise UnfaithfulError(f"two changes overlap at character {right.start}")
    after: list[str] = []
    made: list[bytes] = []
    start = 0
    try:
        for edit in ordered:
            after += [text.text[start : edit.start], edit.new]
            made += [text.encode(start, edit.start), edit.new.encode(text.source.encoding)]
            start = edit.stop
        after.append(text.text[start:])
        made.append(text.encode(start, len(text.text)))
        whole = "".join(after).encode(text.source.encoding)
    except UnicodeError as error:
        raise UnfaithfulError(f"the new text cannot be written in {text.source.encoding}: {error}") from None
    if whole != b"".join(made):
        raise UnfaithfulError(f"an edit would change bytes beside it in {text.source.encoding}")
    return text.head + whole


def _edits(text: Text, change: Change) -> list[Edit]:
    if isinstance(change, Replaced):
        return [_replacing(text, change)]
    if isinstance(change, Inserted):
        return [_inserting(text, change)]
    return [_removing(text, change)]


def _span(text: Text, place: Place) -> tuple[int, int]:
    return text.offset(place.line, place.column), text.offset(place.end_line, place.end_column)


def _replacing(text: Text, change: Replaced) -> Edit:
    start, stop = _span(text, change.place)
    found = text.text[start:stop]
    # Python 3.11 tells wrong places for what is inside an f-string.
    if _normal(found) != change.was:
        line = change.place.line
        raise UnfaithfulError(f"line {line} holds `{found}` where `{change.was}` was expected")
    return Edit(start, stop, change.new)


def _normal(text: str) -> str:
    try:
        return ast.unparse(ast.parse(f"({text})", mode="eval").body)
    except (SyntaxError, ValueError):
        pass
    try:
        return ast.unparse(ast.parse(text))
    except (SyntaxError, ValueError):
        return text


def _inserting(text: Text, change: Inserted) -> Edit:
    """Put a line of its own beside a statement; on the statement's line where it shares that."""
    place = change.place
    start, stop = _span(text, place)
    head = text.text[text.line_start(place.line) : start]
    indent = head.rpartition("\f")[2]
    is_first = not head.strip(" \t\f")
    newline = text.newline(place.line)
    if change.is_before:
        return Edit(start, start, f"{change.new}{newline}{indent}" if is_first else f"{change.new}; ")
    line_stop = text.line_stop(place.end_line)
    if not (is_first and _REST_OF_LINE.fullmatch(text.text, stop, line_stop)):
        return Edit(stop, stop, f"; {change.new}")
    end = text.line_end(place.end_line)
    if not end:
        return Edit(line_stop, line_stop, f"{newline}{indent}{change.new}")
    at = line_stop + len(end)
    return Edit(at, at, f"{indent}{change.new}{end}")


def _removing(text: Text, change: Removed) -> Edit:
    """Take a statement with the whole lines that it stands on."""
    place = change.place
    start, stop = _span(text, place)
    line_start, line_stop = text.line_start(place.line), text.line_stop(place.end_line)
    if text.text[line_start:start].strip(" \t\f") or not _REST_OF_LINE.fullmatch(text.text, stop, line_stop):
        raise UnfaithfulError(f"the statement in line {place.line} shares its line with another")
    if start > line_start and "\f" in text.text[line_start:start]:
        raise UnfaithfulError(f"a form feed stands before the statement in line {place.line}")
    first = place.line - change.comments
    for line in range(first, place.line):
        held = text.text[text.line_start(line) : text.line_stop(line)]
        if not held.lstrip(" \t").startswith("#"):
            raise UnfaithfulError(f"line {line} holds more than a comment")
    line_start = text.line_start(first)
    end = text.line_end(place.end_line)
    if end:
        return Edit(line_start, line_stop + len(end), "")
    # The last line of a file without a final newline: what ended the line before goes.
    before = first - 1
    return Edit(text.line_stop(before) if before else line_start, line_stop, "")
