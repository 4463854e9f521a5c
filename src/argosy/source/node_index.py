"""The nodes of one module by type, collected in one walk for readers of a whole file."""

from __future__ import annotations

import ast
from typing import Any, TypeVar

from argosy.source.name_scopes import NameScope

Node = TypeVar("Node", bound=ast.AST)

# Each further type slows down the walk of every file.
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
    """The nodes of a module by type, in source order, each with the scope that evaluates it.

    Contains the types in INDEXED_TYPES, filled by `binder.find_scopes`, without unevaluated annotations.
    """

    __slots__ = ("nodes",)

    def __init__(self) -> None:
        self.nodes: dict[type[ast.AST], list[tuple[Any, NameScope]]] = {kind: [] for kind in INDEXED_TYPES}

    def of_type(self, kind: type[Node]) -> list[tuple[Node, NameScope]]:
        """Return the nodes of one type. Raises KeyError: the type is not in INDEXED_TYPES."""
        return self.nodes[kind]
