"""Proof that a file became what its changes say, and nothing else.

The input's tree is transformed here by exchanging nodes, without a look at any text, and has to
equal the tree of the output that the editor wrote. The tokens and comments outside the changed
places have to be the same, too: a tree knows no comments.
"""

from __future__ import annotations

import ast
import bisect
import functools
import io
import tokenize
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from argosy.refit.rewrite.change import Change, Inserted, Place, Removed, Replaced, place_of
from argosy.source.text import split_lines

_QUIET = frozenset({tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER})


def disproof(before: ast.Module, after: ast.Module, changes: Sequence[Change]) -> str | None:
    """Return how `after` differs from `before` with its changes made; None when it does not.

    Changes `before`.
    """
    missed = transform(before, changes)
    return missed or first_difference(before, after)


def transform(tree: ast.Module, changes: Sequence[Change]) -> str | None:
    """Make the changes in a tree; return which of them found no node of theirs."""
    wanted: dict[Place, list[Change]] = {}
    for change in changes:
        wanted.setdefault(change.place, []).append(change)
    lines = sorted({place.line for place in wanted})
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.stmt | ast.expr) and not _spans(node, lines):
            continue
        for field in node._fields:
            value = getattr(node, field, None)
            if isinstance(value, list):
                made = [new for item in value for new in _exchanged(item, wanted)]
                if made != value:
                    setattr(node, field, made)
                todo += [item for item in made if isinstance(item, ast.AST)]
            elif isinstance(value, ast.AST):
                (new,) = _exchanged(value, wanted)
                if new is not value:
                    setattr(node, field, new)
                todo.append(new)
    left = sorted(place for place in wanted)
    return f"no {left[0].kind} stands at line {left[0].line}, column {left[0].column + 1}" if left else None


def _spans(node: ast.stmt | ast.expr, lines: list[int]) -> bool:
    """Return whether one of the sorted lines is within `node`; its decorators stand before it."""
    decorators = getattr(node, "decorator_list", None)
    first = min(decorators[0].lineno, node.lineno) if decorators else node.lineno
    at = bisect.bisect_left(lines, first)
    return at < len(lines) and lines[at] <= (node.end_lineno or first)


def _exchanged(node: ast.AST, wanted: dict[Place, list[Change]]) -> list[ast.AST]:
    """Return what stands in the place of `node` afterwards."""
    if not isinstance(node, ast.stmt | ast.expr):
        return [node]
    place = place_of(node)
    made: list[ast.AST] = [node]
    for change in wanted.pop(place, ()):
        if isinstance(change, Replaced):
            made[made.index(node)] = _parsed(change.new, is_statement=isinstance(node, ast.stmt))
        elif isinstance(change, Inserted):
            new = _parsed(change.new, is_statement=True)
            made.insert(0 if change.is_before else len(made), new)
        else:
            made.remove(node)
    return made


def _parsed(source: str, *, is_statement: bool) -> ast.AST:
    if not is_statement:
        return ast.parse(source, mode="eval").body
    (statement,) = ast.parse(source).body
    return statement


def first_difference(left: ast.AST, right: ast.AST) -> str | None:
    """Return where two trees differ in anything but the places of their nodes; None when they do not."""
    todo: list[tuple[object, object, object]] = [(left, right, left)]
    while todo:
        a, b, near = todo.pop()
        if a is b:
            continue
        if type(a) is not type(b):
            return _told(near, f"{type(a).__name__} became {type(b).__name__}")
        if isinstance(a, ast.AST):
            todo += [(getattr(a, name, None), getattr(b, name, None), a) for name in a._fields]
        elif isinstance(a, list):
            assert isinstance(b, list)
            if len(a) != len(b):
                return _told(near, f"{len(a)} nodes became {len(b)}")
            todo += [(x, y, near) for x, y in zip(a, b, strict=True)]
        elif a != b and repr(a) != repr(b):
            return _told(near, f"{a!r:.40} became {b!r:.40}")
        elif isinstance(a, float | complex) and repr(a) != repr(b):
            return _told(near, f"{a!r} became {b!r}")
    return None


def _told(near: object, what: str) -> str:
    line = getattr(near, "lineno", None)
    return f"line {line}: {what}" if line else what


def first_stray(before: str, after: str, changes: Sequence[Change]) -> str | None:
    """Return the first token or comment outside the changed places that is not as it was.

    Comments within a removed statement, behind it, and as many lines of them right above as the change
    says, go with it; no other ones may.
    """
    try:
        old, new = _tokens(before), _tokens(after)
    except (tokenize.TokenError, SyntaxError) as error:
        return f"it has no tokens: {error}"
    pairs = (
        (_expected([t for t in old if t.kind != tokenize.COMMENT], changes), new, "token"),
        (_kept_comments(old, changes), new, "comment"),
    )
    for expected, found, word in pairs:
        of_kind = [token for token in found if (token.kind == tokenize.COMMENT) == (word == "comment")]
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


def _tokens(text: str) -> list[_Token]:
    """Return the tokens that are neither space nor `;`, with columns in UTF-8 bytes."""
    lines = split_lines(text)
    found: list[_Token] = []
    for token in tokenize.generate_tokens(io.StringIO("\n".join(lines)).readline):
        if token.type in _QUIET or (token.type == tokenize.OP and token.string == ";"):
            continue
        row, column = token.start
        line = lines[row - 1] if row <= len(lines) else ""
        if not line.isascii():
            column = len(line[:column].encode("utf-8", "replace"))
        found.append(_Token(token.type, token.string, (row, column)))
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
    return _tokens(source)


def _is_behind(change: Change) -> bool:
    return isinstance(change, Inserted) and not change.is_before
