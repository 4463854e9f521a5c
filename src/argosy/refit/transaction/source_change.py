"""What a rewrite does to a file, said once, as data.

A change names a node by its place and the source that shall stand there. Two readers follow it,
written apart from each other: `edit` cuts bytes and never looks at a tree, `proof` exchanges nodes
and never looks at text. A file is changed only when both came to the same.
"""

from __future__ import annotations

import ast

import msgspec


class NodePosition(msgspec.Struct, frozen=True, order=True):
    """Where a node stands, as `ast` counts: lines from 1, columns in UTF-8 bytes from 0.

    kind: the node's class, since an expression and its statement may share a place.
    """

    line: int
    column: int
    end_line: int
    end_column: int
    kind: str


class Replacement(msgspec.Struct, frozen=True, tag=True):
    """A node makes room for other source: an expression for one, a simple statement for one.

    was: the names or literals that must stand there now, as `ast.unparse` writes them.
    """

    position: NodePosition
    expected: str
    replacement: str


class Insertion(msgspec.Struct, frozen=True, tag=True):
    """A simple statement of its own after the statement at `place`, in the same block.

    is_before: it stands before that statement instead.
    """

    position: NodePosition
    replacement: str
    is_before: bool = False


class Deletion(msgspec.Struct, frozen=True, tag=True):
    """A statement without decorators that goes with its lines, and that is not all of its block.

    comments: how many lines right above it, which hold nothing but a comment, go with it.
    """

    position: NodePosition
    comment_lines: int = 0


Change = Replacement | Insertion | Deletion


def position_of(node: ast.expr | ast.stmt) -> NodePosition:
    """Return where `node` stands."""
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return NodePosition(
        node.lineno, node.col_offset, node.end_lineno, node.end_col_offset, type(node).__name__
    )


def replace_node(node: ast.expr | ast.stmt, replacement: str) -> Replacement:
    """Return the change that puts the source `new` in the place of `node`."""
    return Replacement(position_of(node), ast.unparse(node), replacement)
