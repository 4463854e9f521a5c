"""The nodes of one module by kind: what readers of a whole file ask for, gathered in one walk."""

from __future__ import annotations

import ast
from typing import Any, TypeVar

from argosy.source.name_scopes import NameScope

Node = TypeVar("Node", bound=ast.AST)

# Each kind costs every file a little.
INDEXED_TYPES: tuple[type[ast.AST], ...] = (
    ast.AnnAssign,
    ast.Assign,
    ast.AsyncFunctionDef,
    ast.AsyncWith,
    ast.Attribute,
    ast.AugAssign,
    ast.BinOp,
    ast.Call,
    ast.ClassDef,
    ast.Compare,
    ast.Constant,
    ast.Delete,
    ast.Dict,
    ast.ExceptHandler,
    ast.For,
    ast.FunctionDef,
    ast.Import,
    ast.ImportFrom,
    ast.JoinedStr,
    ast.Lambda,
    ast.Return,
    ast.Try,
    ast.While,
    ast.With,
)


class NodeIndex:
    """The nodes of a module by kind, in the order of the source, each with the scope that evaluates it.

    Has the kinds of INDEXED, filled by `binder.find_scopes`. Annotations that nobody computes are left out.
    """

    __slots__ = ("nodes",)

    def __init__(self) -> None:
        self.nodes: dict[type[ast.AST], list[tuple[Any, NameScope]]] = {kind: [] for kind in INDEXED_TYPES}

    def of_type(self, kind: type[Node]) -> list[tuple[Node, NameScope]]:
        """Return the nodes of one kind. Raises KeyError: it is none of INDEXED."""
        return self.nodes[kind]
