"""The changes of a rewrite as data.

A change names a node by its position and gives its new source. Two independent modules apply it: `text_edit`
edits bytes and never reads a tree, `tree_diff` replaces nodes and never reads text. A file is written only
when both results are the same.
"""

from __future__ import annotations

import ast

import msgspec


class NodePosition(msgspec.Struct, frozen=True, order=True):
    """The position of a node as in `ast`: lines from 1, columns in UTF-8 bytes from 0.

    kind: the class of the node, since an expression and its statement may have the same position.
    """

    line: int
    column: int
    end_line: int
    end_column: int
    kind: str


class Replacement(msgspec.Struct, frozen=True, tag=True):
    """Replaces an expression by an expression, or a simple statement by a simple statement.

    expected: the current source of the node, as `ast.unparse` writes it.
    """

    position: NodePosition
    expected: str
    replacement: str


class Insertion(msgspec.Struct, frozen=True, tag=True):
    """Inserts a simple statement after the statement at `position`, in the same block.

    is_before: insert it before that statement instead.
    """

    position: NodePosition
    replacement: str
    is_before: bool = False


class Deletion(msgspec.Struct, frozen=True, tag=True):
    """Deletes a statement without decorators with its lines; it is not the only one of its block.

    comment_lines: how many comment lines directly above it are deleted too.
    """

    position: NodePosition
    comment_lines: int = 0


Change = Replacement | Insertion | Deletion


def position_of(node: ast.expr | ast.stmt) -> NodePosition:
    """Return the position of `node`."""
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return NodePosition(
        node.lineno, node.col_offset, node.end_lineno, node.end_col_offset, type(node).__name__
    )


def replace_node(node: ast.expr | ast.stmt, replacement: str) -> Replacement:
    """Return the change that replaces `node` by the source `replacement`."""
    return Replacement(position_of(node), ast.unparse(node), replacement)
