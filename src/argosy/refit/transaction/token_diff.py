"""Proof that the tokens and comments outside the changed places are as they were: a tree knows no comments.

Most of a file is no more than looked at: it is cut into windows, the lines of the statements that hold a
change, and what is between them. Between them the lines have to be the same lines; the tokens of a window
are compared one by one. Each window begins where a statement does and has to end outside every bracket and
text, so a tokenizer would come to the lines after it in one and the same state on both sides. Where a file
cannot be cut so, all of its tokens are compared, and only that finds fault.
"""

from __future__ import annotations

import ast
import functools
import io
import tokenize
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from argosy.refit.transaction.source_change import Change, Deletion, Insertion, Replacement
from argosy.source.python_source import split_lines

_LAYOUT_TOKENS = frozenset(
    {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
)


def first_unexpected_token(
    before: str, after: str, changes: Sequence[Change], tree: ast.Module
) -> str | None:
    """Return the first token or comment outside the changed places that is not as it was.

    Comments within a removed statement, behind it, and as many lines of them right above as the change
    says, go with it; no other ones may.

    tree: the one of `before`.
    """
    old, new = split_lines(before), split_lines(after)
    return None if _windows_match(old, new, changes, tree) else _first_mismatch(old, new, changes)


class _TokenWindow(NamedTuple):
    """Lines of the input, counted from 1, the changes in them, and by how many lines these make it longer."""

    first: int
    last: int
    changes: list[Change]
    growth: int


def _windows_match(old: list[str], new: list[str], changes: Sequence[Change], tree: ast.Module) -> bool:
    at = line_shift = 0
    for window in _windows(old, changes, tree):
        above, end = window.first - 1, window.last + line_shift + window.growth
        if old[at:above] != new[at + line_shift : above + line_shift] or not above + line_shift <= end <= len(
            new
        ):
            return False
        if _first_mismatch(old[above : window.last], new[above + line_shift : end], window.changes, above):
            return False
        at = window.last
        line_shift = end - at
    return old[at:] == new[at + line_shift :]


def _windows(old: list[str], changes: Sequence[Change], tree: ast.Module) -> list[_TokenWindow]:
    """Return the windows in the order of the file; those that share a line are one."""
    found: list[_TokenWindow] = []
    placed = [(*_statement_lines(tree, change, old), change) for change in changes]
    for first, last, change in sorted(placed, key=lambda item: item[:2]):
        growth = _line_growth(change)
        if found and first <= found[-1].last:
            near = found.pop()
            first, last = near.first, max(near.last, last)
            found.append(_TokenWindow(first, last, [*near.changes, change], near.growth + growth))
        else:
            found.append(_TokenWindow(first, last, [change], growth))
    return found


def _line_growth(change: Change) -> int:
    """Return by how many lines a change makes a file longer; a guess, that the comparison finds out."""
    place = change.position
    if isinstance(change, Replacement):
        return change.replacement.count("\n") - (place.end_line - place.line)
    if isinstance(change, Insertion):
        return 1 + change.replacement.count("\n")
    return place.line - place.end_line - 1 - change.comment_lines


def _statement_lines(tree: ast.Module, change: Change, lines: list[str]) -> tuple[int, int]:
    """Return the lines of the innermost statement around a change that begins its line.

    Comments that go with the change are not its own: then it is the statement around, or the whole file.
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
    """Compare the tokens of some lines, or of a whole file; above: how many lines stand above."""
    try:
        was, now = _tokenize(old, line_offset), _tokenize(new, line_offset)
    except (tokenize.TokenError, SyntaxError) as error:
        return f"it has no tokens: {error}"
    pairs = (
        (_expected_tokens([t for t in was if t.kind != tokenize.COMMENT], changes), "token"),
        (_remaining_comments(was, changes), "comment"),
    )
    for expected, token_class in pairs:
        actual_tokens = [
            token for token in now if (token.kind == tokenize.COMMENT) == (token_class == "comment")
        ]
        for wanted, actual in zip_longest(expected, actual_tokens):
            if wanted is None or actual is None or (wanted.kind, wanted.text) != (actual.kind, actual.text):
                return _describe_mismatch(token_class, wanted, actual)
    return None


def _describe_mismatch(token_class: str, expected: _Token | None, actual: _Token | None) -> str:
    if actual is None:
        return f"the {token_class} `{expected.text if expected else ''}` has gone"
    return f"line {actual.start[0]}: the {token_class} `{actual.text}` stands where `{expected.text if expected else ''}` was"


class _Token(NamedTuple):
    kind: int
    text: str
    start: tuple[int, int]


def _tokenize(lines: Sequence[str], line_offset: int = 0) -> list[_Token]:
    """Return the tokens that are neither space nor `;`, with columns in UTF-8 bytes.

    above: how many lines of the file stand above these.
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
    """Yield the tokens that have to come out: the old ones, with those of the changes in their places."""
    places = sorted(
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
        while places and places[0][0] <= token.start:
            change = places.pop(0)[2]
            if not isinstance(change, Deletion):
                yield from (
                    word for word in _replacement_tokens(change.replacement) if word.kind != tokenize.COMMENT
                )
            if not isinstance(change, Insertion):
                skip_to = (change.position.end_line, change.position.end_column)
        if token.start >= skip_to:
            yield token
    for _, _, change in places:
        if isinstance(change, Insertion):
            yield from _replacement_tokens(change.replacement)


@functools.cache
def _replacement_tokens(source: str) -> list[_Token]:
    return _tokenize(split_lines(source))


def _is_after_statement(change: Change) -> bool:
    return isinstance(change, Insertion) and not change.is_before
