"""The nodes of one module by kind: what readers of a whole file ask for, gathered in one walk."""

from __future__ import annotations

import ast
from typing import Any, TypeVar

from argosy.source.scopes import Scope

Node = TypeVar("Node", bound=ast.AST)

# Each kind costs every file a little.
INDEXED: tuple[type[ast.AST], ...] = (
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


class Index:
    """The nodes of a module by kind, in the order of the source, each with the scope that evaluates it.

    Has the kinds of INDEXED, filled by `binder.find_scopes`. Annotations that nobody computes are left out.
    """

    __slots__ = ("places",)

    def __init__(self) -> None:
        self.places: dict[type[ast.AST], list[tuple[Any, Scope]]] = {kind: [] for kind in INDEXED}

    def of(self, kind: type[Node]) -> list[tuple[Node, Scope]]:
        """Return the nodes of one kind. Raises KeyError: it is none of INDEXED."""
        return self.places[kind]
