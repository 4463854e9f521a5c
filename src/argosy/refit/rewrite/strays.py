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

from argosy.refit.rewrite.change import Change, Inserted, Removed, Replaced
from argosy.source.text import split_lines

_QUIET = frozenset({tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER})


def first_stray(before: str, after: str, changes: Sequence[Change], tree: ast.Module) -> str | None:
    """Return the first token or comment outside the changed places that is not as it was.

    Comments within a removed statement, behind it, and as many lines of them right above as the change
    says, go with it; no other ones may.

    tree: the one of `before`.
    """
    old, new = split_lines(before), split_lines(after)
    return None if _is_same_by_windows(old, new, changes, tree) else _first_stray(old, new, changes)


class _Window(NamedTuple):
    """Lines of the input, counted from 1, the changes in them, and by how many lines these make it longer."""

    first: int
    last: int
    changes: list[Change]
    grows: int


def _is_same_by_windows(old: list[str], new: list[str], changes: Sequence[Change], tree: ast.Module) -> bool:
    at = shift = 0
    for window in _windows(old, changes, tree):
        above, end = window.first - 1, window.last + shift + window.grows
        if old[at:above] != new[at + shift : above + shift] or not above + shift <= end <= len(new):
            return False
        if _first_stray(old[above : window.last], new[above + shift : end], window.changes, above):
            return False
        at = window.last
        shift = end - at
    return old[at:] == new[at + shift :]


def _windows(old: list[str], changes: Sequence[Change], tree: ast.Module) -> list[_Window]:
    """Return the windows in the order of the file; those that share a line are one."""
    found: list[_Window] = []
    placed = [(*_statement_lines(tree, change, old), change) for change in changes]
    for first, last, change in sorted(placed, key=lambda item: item[:2]):
        grows = _growth(change)
        if found and first <= found[-1].last:
            near = found.pop()
            first, last = near.first, max(near.last, last)
            found.append(_Window(first, last, [*near.changes, change], near.grows + grows))
        else:
            found.append(_Window(first, last, [change], grows))
    return found


def _growth(change: Change) -> int:
    """Return by how many lines a change makes a file longer; a guess, that the comparison finds out."""
    place = change.place
    if isinstance(change, Replaced):
        return change.new.count("\n") - (place.end_line - place.line)
    if isinstance(change, Inserted):
        return 1 + change.new.count("\n")
    return place.line - place.end_line - 1 - change.comments


def _statement_lines(tree: ast.Module, change: Change, lines: list[str]) -> tuple[int, int]:
    """Return the lines of the innermost statement around a change that begins its line.

    Comments that go with the change are not its own: then it is the statement around, or the whole file.
    """
    first, last = change.place.line, change.place.end_line
    if isinstance(change, Removed):
        first -= change.comments
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
        todo += [inner for inner in ast.iter_child_nodes(node) if isinstance(inner, _BLOCKS)]
    return found


_BLOCKS = (ast.stmt, ast.excepthandler, ast.match_case)


def _first_stray(old: list[str], new: list[str], changes: Sequence[Change], above: int = 0) -> str | None:
    """Compare the tokens of some lines, or of a whole file; above: how many lines stand above."""
    try:
        was, now = _tokens(old, above), _tokens(new, above)
    except (tokenize.TokenError, SyntaxError) as error:
        return f"it has no tokens: {error}"
    pairs = (
        (_expected([t for t in was if t.kind != tokenize.COMMENT], changes), "token"),
        (_kept_comments(was, changes), "comment"),
    )
    for expected, word in pairs:
        of_kind = [token for token in now if (token.kind == tokenize.COMMENT) == (word == "comment")]
        for want, got in zip_longest(expected, of_kind):
            if want is None or got is None or (want.kind, want.text) != (got.kind, got.text):
                return _stray(word, want, got)
    return None


def _stray(word: str, want: _Token | None, got: _Token | None) -> str:
    if got is None:
        return f"the {word} `{want.text if want else ''}` has gone"
    return f"line {got.start[0]}: the {word} `{got.text}` stands where `{want.text if want else ''}` was"


class _Token(NamedTuple):
    kind: int
    text: str
    start: tuple[int, int]


def _tokens(lines: Sequence[str], above: int = 0) -> list[_Token]:
    """Return the tokens that are neither space nor `;`, with columns in UTF-8 bytes.

    above: how many lines of the file stand above these.
    """
    found: list[_Token] = []
    for token in tokenize.generate_tokens(io.StringIO("\n".join(lines)).readline):
        if token.type in _QUIET or (token.type == tokenize.OP and token.string == ";"):
            continue
        row, column = token.start
        line = lines[row - 1] if row <= len(lines) else ""
        if not line.isascii():
            column = len(line[:column].encode("utf-8", "replace"))
        found.append(_Token(token.type, token.string, (row + above, column)))
    return found


def _kept_comments(old: list[_Token], changes: Sequence[Change]) -> Iterator[_Token]:
    gone = [(c.place.line - c.comments, c.place.end_line) for c in changes if isinstance(c, Removed)]
    for token in old:
        if token.kind == tokenize.COMMENT and not any(a <= token.start[0] <= b for a, b in gone):
            yield token


def _expected(old: list[_Token], changes: Sequence[Change]) -> Iterator[_Token]:
    """Yield the tokens that have to come out: the old ones, with those of the changes in their places."""
    places = sorted(
        (
            (c.place.end_line, c.place.end_column) if _is_behind(c) else (c.place.line, c.place.column),
            order,
            c,
        )
        for order, c in enumerate(changes)
    )
    skip_to = (0, 0)
    for token in old:
        while places and places[0][0] <= token.start:
            change = places.pop(0)[2]
            if not isinstance(change, Removed):
                yield from (word for word in _words(change.new) if word.kind != tokenize.COMMENT)
            if not isinstance(change, Inserted):
                skip_to = (change.place.end_line, change.place.end_column)
        if token.start >= skip_to:
            yield token
    for _, _, change in places:
        if isinstance(change, Inserted):
            yield from _words(change.new)


@functools.cache
def _words(source: str) -> list[_Token]:
    return _tokens(split_lines(source))


def _is_behind(change: Change) -> bool:
    return isinstance(change, Inserted) and not change.is_before
