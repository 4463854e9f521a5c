"""Applies changes to the bytes of a file; all bytes outside of the changes are kept."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterable, Sequence

import msgspec

from argosy.refit.transaction.source_change import Change, Deletion, Insertion, NodePosition, Replacement
from argosy.refit.transaction.text_positions import EncodedText, UnsafeEditError, count_line_ends
from argosy.source.python_source import SourceText

_REST_OF_LINE = re.compile(r"[ \t\f]*(#.*)?")


class TextEdit(msgspec.Struct, frozen=True, order=True):
    """Replaces the characters from `start` up to `stop` by `replacement`."""

    start: int
    stop: int
    replacement: str


# (line, delta): the lines from `line` on move by `delta` lines.
LineShifts = list[tuple[int, int]]


def apply_changes(source: SourceText, changes: Sequence[Change]) -> bytes:
    """Return the bytes of the file with the changes applied.

    Raises UnsafeEditError: the text does not encode to its bytes, a position does not exist or has other
    source, or changes overlap.
    """
    text = EncodedText(source)
    return apply_edits(text, [edit for change in changes for edit in _edits_of(text, change)])


def line_shifts(source: SourceText, changes: Sequence[Change]) -> LineShifts:
    """Return the shifts of the changes that add or remove lines, in the order of the file."""
    text = EncodedText(source)
    found = []
    for edit in sorted(edit for change in changes for edit in _edits_of(text, change)):
        delta = count_line_ends(edit.replacement) - count_line_ends(text.text[edit.start : edit.stop])
        line = text.line_of(edit.start)
        is_whole_line = delta < 0 and edit.start == text.line_start(line)
        if delta:
            found.append((line if is_whole_line else line + 1, delta))
    return found


def line_before_shifts(shifts: LineShifts, line: int) -> int:
    """Return the line of the input that became a line of the output."""
    moved = 0
    for first, delta in shifts:
        if line - moved >= first:
            moved += delta
    return line - moved


def apply_edits(text: EncodedText, edits: Sequence[TextEdit]) -> bytes:
    """Return the bytes of the file with the edits applied.

    Raises UnsafeEditError: two edits overlap or begin at the same character, or an edit would change bytes
    outside of it (encodings with a shift state).
    """
    for first, second in itertools.pairwise(sorted(edits)):
        if first.start == second.start:
            raise UnsafeEditError(f"two changes overlap at character {second.start}")
    pieces = _pieces(text.text, edits)
    try:
        encoded = [
            text.encode(kept.start, kept.stop) + new.encode(text.source.encoding) for kept, new in pieces
        ]
        encoded_whole = _join(text.text, pieces).encode(text.source.encoding)
    except UnicodeError as error:
        raise UnsafeEditError(f"the new text cannot be written in {text.source.encoding}: {error}") from None
    if encoded_whole != b"".join(encoded):
        raise UnsafeEditError(f"an edit would change bytes beside it in {text.source.encoding}")
    return text.bom + encoded_whole


def edit_text(text: str, edits: Iterable[TextEdit]) -> str:
    """Return a text with the edits applied; insertions before another edit of the same place come first.

    Raises UnsafeEditError: two edits overlap.
    """
    return _join(text, _pieces(text, edits))


def _pieces(text: str, edits: Iterable[TextEdit]) -> list[tuple[slice, str]]:
    """Return the kept spans of a text, in order, each with the replacement that follows it."""
    found: list[tuple[slice, str]] = []
    position = 0
    for edit in sorted(edits):
        if not position <= edit.start <= edit.stop <= len(text):
            raise UnsafeEditError(f"two changes overlap at character {edit.start}")
        found.append((slice(position, edit.start), edit.replacement))
        position = edit.stop
    return [*found, (slice(position, len(text)), "")]


def _join(text: str, pieces: Iterable[tuple[slice, str]]) -> str:
    return "".join(text[kept] + new for kept, new in pieces)


def _edits_of(text: EncodedText, change: Change) -> list[TextEdit]:
    if isinstance(change, Replacement):
        return [_replacement_edit(text, change)]
    if isinstance(change, Insertion):
        return [_insertion_edit(text, change)]
    return [_deletion_edit(text, change)]


def _span(text: EncodedText, place: NodePosition) -> tuple[int, int]:
    return text.offset(place.line, place.column), text.offset(place.end_line, place.end_column)


def _replacement_edit(text: EncodedText, change: Replacement) -> TextEdit:
    start, stop = _span(text, change.position)
    found = text.text[start:stop]
    # Python 3.11 gives wrong positions for expressions in an f-string.
    if _normalized(found) != change.expected:
        line = change.position.line
        raise UnsafeEditError(f"line {line}: found `{found}`, expected `{change.expected}`")
    return TextEdit(start, stop, change.replacement)


def _normalized(text: str) -> str:
    try:
        return ast.unparse(ast.parse(f"({text})", mode="eval").body)
    except (SyntaxError, ValueError):
        pass
    try:
        return ast.unparse(ast.parse(text))
    except (SyntaxError, ValueError):
        return text


def _insertion_edit(text: EncodedText, change: Insertion) -> TextEdit:
    """Return the edit that adds a line beside a statement, or extends its line if it is not alone on it."""
    place = change.position
    start, stop = _span(text, place)
    head = text.text[text.line_start(place.line) : start]
    indent = head.rpartition("\f")[2]
    is_first = not head.strip(" \t\f")
    newline = text.newline_near(place.line)
    if change.is_before:
        return TextEdit(
            start, start, f"{change.replacement}{newline}{indent}" if is_first else f"{change.replacement}; "
        )
    line_stop = text.line_stop(place.end_line)
    if not (is_first and _REST_OF_LINE.fullmatch(text.text, stop, line_stop)):
        return TextEdit(stop, stop, f"; {change.replacement}")
    end = text.line_terminator(place.end_line)
    if not end:
        return TextEdit(line_stop, line_stop, f"{newline}{indent}{change.replacement}")
    next_line = line_stop + len(end)
    return TextEdit(next_line, next_line, f"{indent}{change.replacement}{end}")


def _deletion_edit(text: EncodedText, change: Deletion) -> TextEdit:
    """Return the edit that deletes a statement with all of its lines."""
    place = change.position
    start, stop = _span(text, place)
    line_start, line_stop = text.line_start(place.line), text.line_stop(place.end_line)
    if text.text[line_start:start].strip(" \t\f") or not _REST_OF_LINE.fullmatch(text.text, stop, line_stop):
        raise UnsafeEditError(f"the statement in line {place.line} shares its line with another")
    if start > line_start and "\f" in text.text[line_start:start]:
        raise UnsafeEditError(f"there is a form feed before the statement in line {place.line}")
    first = place.line - change.comment_lines
    for line in range(first, place.line):
        content = text.text[text.line_start(line) : text.line_stop(line)]
        if not content.lstrip(" \t").startswith("#"):
            raise UnsafeEditError(f"line {line} has more than a comment")
    line_start = text.line_start(first)
    end = text.line_terminator(place.end_line)
    if end:
        return TextEdit(line_start, line_stop + len(end), "")
    # The last line of a file without a final newline: delete the terminator of the line before.
    before = first - 1
    return TextEdit(text.line_stop(before) if before else line_start, line_stop, "")
