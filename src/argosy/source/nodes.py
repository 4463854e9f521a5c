"""The nodes within a node, without the operators and contexts that all nodes share.

`ast.iter_child_nodes` looks at every field of every node and yields from two generators; readers of whole
trees spend a third of their time in it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

# Fields that hold no node with names in it, whichever class has them.
_PLAIN = frozenset(
    {
        *("ctx", "op", "ops", "id", "attr", "kind", "level", "module", "asname", "simple", "is_async"),
        *("conversion", "type_comment", "type_ignores"),
    }
)
_FIELDS: dict[type[ast.AST], tuple[str, ...]] = {ast.Name: (), ast.Constant: ()}


def node_fields(kind: type[ast.AST]) -> tuple[str, ...]:
    """Return the fields of a class of nodes that may hold nodes."""
    fields = _FIELDS.get(kind)
    if fields is None:
        fields = _FIELDS[kind] = tuple(field for field in kind._fields if field not in _PLAIN)
    return fields


def children(node: ast.AST) -> list[ast.AST]:
    """Return the nodes right below `node`, in the order of its fields."""
    found: list[ast.AST] = []
    for field in node_fields(type(node)):
        value = getattr(node, field, None)
        if type(value) is list:
            found += [item for item in value if isinstance(item, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def walk(root: ast.AST) -> Iterator[ast.AST]:
    """Yield `root` and the nodes below it, a level after the other."""
    todo = [root]
    for node in todo:
        yield node
        todo += children(node)
