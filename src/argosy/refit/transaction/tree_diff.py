"""Checks that the tree of a rewritten file has its planned changes and no others.

The changes are applied to the tree of the input by replacing nodes, without reading text; the result has to
equal the tree of the output. A statement without a change that is the same text at the same column on both
sides has the same tree and is not compared node by node. Trees have no comments: see `token_diff`.
"""

from __future__ import annotations

import ast
import bisect
from collections.abc import Iterator, Sequence

from argosy.refit.transaction.source_change import Change, Insertion, NodePosition, Replacement, position_of


def find_deviation(
    before: ast.Module,
    after: ast.Module,
    changes: Sequence[Change],
    lines: tuple[Sequence[str], Sequence[str]] | None = None,
) -> str | None:
    """Return how `after` differs from `before` with `changes` applied; None when it does not.

    `before` is modified during the comparison and restored afterwards. lines: of both texts; without them
    every node is compared.
    """
    undo: list[_SavedField] = []
    untouched: set[int] = set()
    try:
        deviation = apply_to_tree(before, changes, undo, untouched)
        return deviation or first_difference(
            before, after, _UnchangedText(untouched, *lines) if lines else None
        )
    finally:
        for node, field, value in reversed(undo):
            setattr(node, field, value)


_SavedField = tuple[ast.AST, str, object]


class _UnchangedText:
    """Finds statements with the same text on both sides.

    untouched: the `id` of nodes of the input without a change. old_lines, new_lines: of both texts.
    """

    def __init__(self, untouched: set[int], old_lines: Sequence[str], new_lines: Sequence[str]) -> None:
        self.untouched = untouched
        self.old_lines = old_lines
        self.new_lines = new_lines

    def is_same_statement(self, a: object, b: object) -> bool:
        """Return whether two nodes are statements of the same text."""
        if id(a) not in self.untouched or not (isinstance(a, ast.stmt) and isinstance(b, ast.stmt)):
            return False
        if (a.col_offset, a.end_col_offset) != (b.col_offset, b.end_col_offset):
            return False
        return (
            self.old_lines[_first_line(a) - 1 : a.end_lineno]
            == self.new_lines[_first_line(b) - 1 : b.end_lineno]
        )


def apply_to_tree(
    tree: ast.Module,
    changes: Sequence[Change],
    undo: list[_SavedField] | None = None,
    untouched: set[int] | None = None,
) -> str | None:
    """Apply changes to a tree; return a description of the first one whose node was not found, else None.

    undo: receives the old value of each modified field. untouched: receives the `id` of statements and
    expressions without a change.
    """
    undo = [] if undo is None else undo
    untouched = set() if untouched is None else untouched
    changes_at: dict[NodePosition, list[Change]] = {}
    for change in changes:
        changes_at.setdefault(change.position, []).append(change)
    lines = sorted({position.line for position in changes_at})
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.stmt | ast.expr) and not _contains_line(node, lines):
            untouched.add(id(node))
            continue
        for field in node._fields:
            value = getattr(node, field, None)
            if isinstance(value, list):
                replaced = [new for item in value for new in _apply_to_node(item, changes_at)]
                if replaced != value:
                    undo.append((node, field, value))
                    setattr(node, field, replaced)
                # New nodes have line numbers of their own source and are not searched.
                original_ids = set(map(id, value))
                todo += [item for item in replaced if isinstance(item, ast.AST) and id(item) in original_ids]
            elif isinstance(value, ast.AST):
                (new,) = _apply_to_node(value, changes_at)
                if new is not value:
                    undo.append((node, field, value))
                    setattr(node, field, new)
                else:
                    todo.append(new)
    if not changes_at:
        return None
    first = min(changes_at)
    return f"there is no {first.kind} at line {first.line}, column {first.column + 1}"


def _contains_line(node: ast.stmt | ast.expr, lines: list[int]) -> bool:
    """Return whether one of the sorted lines is within `node`."""
    first = _first_line(node)
    index = bisect.bisect_left(lines, first)
    return index < len(lines) and lines[index] <= (node.end_lineno or first)


def _first_line(node: ast.stmt | ast.expr) -> int:
    """Return the first line of a node, including its decorators."""
    decorators = getattr(node, "decorator_list", None)
    return min(decorators[0].lineno, node.lineno) if decorators else node.lineno


def _apply_to_node(node: ast.AST, changes_at: dict[NodePosition, list[Change]]) -> list[ast.AST]:
    """Return the nodes that replace `node`."""
    if not isinstance(node, ast.stmt | ast.expr):
        return [node]
    nodes: list[ast.AST] = [node]
    for change in changes_at.pop(position_of(node), ()):
        if isinstance(change, Replacement):
            nodes[nodes.index(node)] = _parse_replacement(
                change.replacement, is_statement=isinstance(node, ast.stmt)
            )
        elif isinstance(change, Insertion):
            new = _parse_replacement(change.replacement, is_statement=True)
            nodes.insert(0 if change.is_before else len(nodes), new)
        else:
            nodes.remove(node)
    return nodes


def _parse_replacement(source: str, *, is_statement: bool) -> ast.AST:
    if not is_statement:
        return ast.parse(source, mode="eval").body
    (statement,) = ast.parse(source).body
    return statement


def first_difference(left: ast.AST, right: ast.AST, text: _UnchangedText | None = None) -> str | None:
    """Return the first difference of two trees, ignoring positions of nodes; None when there is none."""
    todo: list[tuple[object, object, object]] = [(left, right, left)]
    while todo:
        a, b, near = todo.pop()
        if a is b or (text is not None and text.is_same_statement(a, b)):
            continue
        if type(a) is not type(b):
            return _describe_difference(near, f"{type(a).__name__} became {type(b).__name__}")
        if isinstance(a, ast.AST):
            todo += _differing_fields(a, b)
        elif isinstance(a, list):
            assert isinstance(b, list)
            if len(a) != len(b):
                return _describe_difference(near, f"{len(a)} nodes became {len(b)}")
            todo += [(x, y, near) for x, y in zip(a, b, strict=True)]
        elif a != b and repr(a) != repr(b):
            return _describe_difference(near, f"{a!r:.40} became {b!r:.40}")
        elif isinstance(a, float | complex) and repr(a) != repr(b):
            return _describe_difference(near, f"{a!r} became {b!r}")
    return None


def _differing_fields(a: ast.AST, b: object) -> Iterator[tuple[object, object, object]]:
    for name in a._fields:
        x, y = getattr(a, name, None), getattr(b, name, None)
        # Names and missing fields, most of a tree, are compared here.
        if x is not y and not (type(x) is str and type(y) is str and x == y):
            yield x, y, a


def _describe_difference(near: object, difference: str) -> str:
    line = getattr(near, "lineno", None)
    return f"line {line}: {difference}" if line else difference
