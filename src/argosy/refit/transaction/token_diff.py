"""Compares the tokens and comments outside of changes before and after a rewrite; trees have no comments.

Most of a file is compared by lines: it is divided into windows, which are the lines of the statements with a
change, and the lines between them. Lines between windows have to be equal; tokens of a window are compared
one by one. A window begins with a statement and has to end outside of brackets and strings, so that the
tokenizer is in the same state after it on both sides. When a file cannot be divided like this, or a window
differs, all of its tokens are compared, and only that comparison reports a difference.
"""

from __future__ import annotations

import ast
import functools
import io
import tokenize
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Final, NamedTuple

import msgspec

from argosy.refit.analysis.lenient_tokens import Token as LenientToken
from argosy.refit.analysis.lenient_tokens import tokenize_leniently
from argosy.refit.transaction.source_change import Change, Deletion, Insertion, Replacement
from argosy.refit.transaction.text_edit import TextEdit
from argosy.refit.transaction.text_positions import TextLines, count_line_ends
from argosy.source.python_source import split_lines

_LAYOUT_TOKENS = frozenset(
    {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
)


def first_unexpected_token(
    before: str, after: str, changes: Sequence[Change], tree: ast.Module
) -> str | None:
    """Return a description of the first token or comment that differs outside of changes, else None.

    Comments in a deleted statement, after it on its line, and in the `comment_lines` above it are deleted
    with it; no others may be.

    tree: of `before`.
    """
    old, new = split_lines(before), split_lines(after)
    return None if _windows_match(old, new, changes, tree) else _first_mismatch(old, new, changes)


class _TokenWindow(NamedTuple):
    """A range of lines of the input, from 1, with its changes, and the lines that these add."""

    first: int
    last: int
    changes: list[Change]
    growth: int


def _windows_match(old: list[str], new: list[str], changes: Sequence[Change], tree: ast.Module) -> bool:
    position = line_shift = 0
    for window in _windows(old, changes, tree):
        above, end = window.first - 1, window.last + line_shift + window.growth
        new_above = above + line_shift
        if old[position:above] != new[position + line_shift : new_above] or not new_above <= end <= len(new):
            return False
        if _first_mismatch(old[above : window.last], new[new_above:end], window.changes, above):
            return False
        position = window.last
        line_shift = end - position
    return old[position:] == new[position + line_shift :]


def _windows(old: list[str], changes: Sequence[Change], tree: ast.Module) -> list[_TokenWindow]:
    """Return the windows in the order of the file; windows that share a line are merged."""
    found: list[_TokenWindow] = []
    placed = [(*_statement_lines(tree, change, old), change) for change in changes]
    for first, last, change in sorted(placed, key=lambda item: item[:2]):
        growth = _line_growth(change)
        if found and first <= found[-1].last:
            previous = found.pop()
            first, last = previous.first, max(previous.last, last)
            found.append(_TokenWindow(first, last, [*previous.changes, change], previous.growth + growth))
        else:
            found.append(_TokenWindow(first, last, [change], growth))
    return found


def _line_growth(change: Change) -> int:
    """Return an estimate of the lines that a change adds; a wrong one makes the windows differ."""
    place = change.position
    if isinstance(change, Replacement):
        return change.replacement.count("\n") - (place.end_line - place.line)
    if isinstance(change, Insertion):
        return 1 + change.replacement.count("\n")
    return place.line - place.end_line - 1 - change.comment_lines


def _statement_lines(tree: ast.Module, change: Change, lines: list[str]) -> tuple[int, int]:
    """Return the lines of the innermost statement around a change that is the first one on its line.

    For a deletion with comments above it is the statement that contains these, or the whole file.
    """
    first, last = change.position.line, change.position.end_line
    if isinstance(change, Deletion):
        first -= change.comment_lines
    found = 1, len(lines)
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.stmt):
            end = node.end_lineno or node.lineno
            if not node.lineno <= first <= last <= end:
                continue
            line = lines[node.lineno - 1]
            if not line.encode("utf-8", "replace")[: node.col_offset].strip(b" \t\f"):
                found = node.lineno, end
        todo += [inner for inner in ast.iter_child_nodes(node) if isinstance(inner, _BLOCK_NODES)]
    return found


_BLOCK_NODES = (ast.stmt, ast.excepthandler, ast.match_case)


def _first_mismatch(
    old: list[str], new: list[str], changes: Sequence[Change], line_offset: int = 0
) -> str | None:
    """Compare the tokens of some lines or of a whole file. line_offset: the count of lines above them."""
    try:
        old_tokens, new_tokens = _tokenize(old, line_offset), _tokenize(new, line_offset)
    except (tokenize.TokenError, SyntaxError) as error:
        return f"it cannot be tokenized: {error}"
    pairs = (
        (_expected_tokens([t for t in old_tokens if t.kind != tokenize.COMMENT], changes), "token"),
        (_remaining_comments(old_tokens, changes), "comment"),
    )
    for expected, token_class in pairs:
        actual_tokens = [
            token for token in new_tokens if (token.kind == tokenize.COMMENT) == (token_class == "comment")
        ]
        for wanted, actual in zip_longest(expected, actual_tokens):
            if wanted is None or actual is None or (wanted.kind, wanted.text) != (actual.kind, actual.text):
                return _describe_mismatch(token_class, wanted, actual)
    return None


def _describe_mismatch(token_class: str, expected: _Token | None, actual: _Token | None) -> str:
    expected_text = expected.text if expected else ""
    if actual is None:
        return f"the {token_class} `{expected_text}` is missing"
    return f"line {actual.start[0]}: found the {token_class} `{actual.text}`, expected `{expected_text}`"


class _Token(NamedTuple):
    kind: int
    text: str
    start: tuple[int, int]


def _tokenize(lines: Sequence[str], line_offset: int = 0) -> list[_Token]:
    """Return the tokens that are neither layout nor `;`, with columns in UTF-8 bytes.

    line_offset: the count of lines of the file above these.
    """
    found: list[_Token] = []
    for token in tokenize.generate_tokens(io.StringIO("\n".join(lines)).readline):
        if token.type in _LAYOUT_TOKENS or (token.type == tokenize.OP and token.string == ";"):
            continue
        row, column = token.start
        line = lines[row - 1] if row <= len(lines) else ""
        if not line.isascii():
            column = len(line[:column].encode("utf-8", "replace"))
        found.append(_Token(token.type, token.string, (row + line_offset, column)))
    return found


def _remaining_comments(old: list[_Token], changes: Sequence[Change]) -> Iterator[_Token]:
    deleted_ranges = [
        (c.position.line - c.comment_lines, c.position.end_line) for c in changes if isinstance(c, Deletion)
    ]
    for token in old:
        if token.kind == tokenize.COMMENT and not any(a <= token.start[0] <= b for a, b in deleted_ranges):
            yield token


def _expected_tokens(old: list[_Token], changes: Sequence[Change]) -> Iterator[_Token]:
    """Yield the expected tokens: the old ones, with those of the changes at their positions."""
    positions = sorted(
        (
            (c.position.end_line, c.position.end_column)
            if _is_after_statement(c)
            else (c.position.line, c.position.column),
            order,
            c,
        )
        for order, c in enumerate(changes)
    )
    skip_to = (0, 0)
    for token in old:
        while positions and positions[0][0] <= token.start:
            change = positions.pop(0)[2]
            if not isinstance(change, Deletion):
                yield from (
                    new for new in _replacement_tokens(change.replacement) if new.kind != tokenize.COMMENT
                )
            if not isinstance(change, Insertion):
                skip_to = (change.position.end_line, change.position.end_column)
        if token.start >= skip_to:
            yield token
    for _, _, change in positions:
        if isinstance(change, Insertion):
            yield from _replacement_tokens(change.replacement)


@functools.cache
def _replacement_tokens(source: str) -> list[_Token]:
    return _tokenize(split_lines(source))


def _is_after_statement(change: Change) -> bool:
    return isinstance(change, Insertion) and not change.is_before


_MAY_SPAN_LINES: Final = frozenset({"string", "open_string"})


class UntouchedCheck(msgspec.Struct, frozen=True):
    """The result of a check. unchanged_tokens: on lines without an edit. is_unchanged: they are equal."""

    unchanged_tokens: int
    is_unchanged: bool


def check_untouched(before: str, after: str, edits: Sequence[TextEdit]) -> UntouchedCheck:
    """Return whether `after` differs from `before` only in the lines that `edits` touch.

    Neither has to parse. Both texts are tokenized again, and all tokens on lines that no edit touches have to
    be equal, in the same order, each line at the same column. So an edit that opens a string or a bracket and
    swallows the following code is detected.
    """
    removed = [before[edit.start : edit.stop] for edit in edits]
    old = _tokens_outside(
        before, [(edit.start, edit.stop) for edit in edits], [edit.replacement for edit in edits]
    )
    new = _tokens_outside(after, _spans_after(edits), removed)
    return UntouchedCheck(len(old), old == new)


def _spans_after(edits: Sequence[TextEdit]) -> list[tuple[int, int]]:
    """Return the spans of the new texts in the result, in the order of `edits`."""
    found: list[tuple[int, int]] = []
    for edit in edits:
        moved = sum(len(other.replacement) - (other.stop - other.start) for other in edits if other < edit)
        found.append((edit.start + moved, edit.start + moved + len(edit.replacement)))
    return found


def _tokens_outside(
    text: str, spans: Sequence[tuple[int, int]], others: Sequence[str]
) -> list[tuple[str, int]]:
    """Return the tokens on lines that no span touches, with the column of each that begins a line.

    others: the text that replaces each span in the other version.
    """
    lines = TextLines(text)
    touched: set[int] = set()
    for (begin, end), other in zip(spans, others, strict=True):
        touched |= _touched_lines(lines, (begin, end), other)
    found: list[tuple[str, int]] = []
    last = 0
    for token in _code_tokens(text):
        line = stop = token.line
        if token.kind in _MAY_SPAN_LINES:
            stop += count_line_ends(token.text)
        if line not in touched and (stop == line or touched.isdisjoint(range(line + 1, stop + 1))):
            found.append((token.text, token.column if line > last else -1))
        last = stop
    return found


@functools.lru_cache(maxsize=2)
def _code_tokens(text: str) -> tuple[LenientToken, ...]:
    """Return the code tokens; cached, since one step's result is the next step's input."""
    return tuple(token for token in tokenize_leniently(text) if token.is_code)


def _touched_lines(lines: TextLines, span: tuple[int, int], other: str) -> set[int]:
    """Return the lines, from 1, that a span touches; whole lines touch no others."""
    begin, end = span
    first, last = lines.line_of(begin), lines.line_of(end)
    is_whole = begin == lines.line_start(first) and all(
        not part or part.endswith(("\n", "\r")) for part in (lines.text[begin:end], other)
    )
    return set(range(first, last if is_whole else last + 1))
