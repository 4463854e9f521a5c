"""What a rewrite does to a file, said once, as data.

A change names a node by its place and the source that shall stand there. Two readers follow it,
written apart from each other: `edit` cuts bytes and never looks at a tree, `proof` exchanges nodes
and never looks at text. A file is changed only when both came to the same.
"""

from __future__ import annotations

import ast

import msgspec


class Place(msgspec.Struct, frozen=True, order=True):
    """Where a node stands, as `ast` counts: lines from 1, columns in UTF-8 bytes from 0.

    kind: the node's class, since an expression and its statement may share a place.
    """

    line: int
    column: int
    end_line: int
    end_column: int
    kind: str


class Replaced(msgspec.Struct, frozen=True, tag=True):
    """A node makes room for other source: an expression for one, a simple statement for one.

    was: the names or literals that must stand there now, as `ast.unparse` writes them.
    """

    place: Place
    was: str
    new: str


class Inserted(msgspec.Struct, frozen=True, tag=True):
    """A simple statement of its own after the statement at `place`, in the same block.

    is_before: it stands before that statement instead.
    """

    place: Place
    new: str
    is_before: bool = False


class Removed(msgspec.Struct, frozen=True, tag=True):
    """A statement without decorators that goes with its lines, and that is not all of its block.

    comments: how many lines right above it, which hold nothing but a comment, go with it.
    """

    place: Place
    comments: int = 0


Change = Replaced | Inserted | Removed


def place_of(node: ast.expr | ast.stmt) -> Place:
    """Return where `node` stands."""
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return Place(node.lineno, node.col_offset, node.end_lineno, node.end_col_offset, type(node).__name__)


def replaced(node: ast.expr | ast.stmt, new: str) -> Replaced:
    """Return the change that puts the source `new` in the place of `node`."""
    return Replaced(place_of(node), ast.unparse(node), new)
