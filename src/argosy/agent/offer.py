"""What an agent offers, read from its source: the handlers of a class, without importing it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from argosy.source import flow
from argosy.source.classes import Class, Place, Tree

_REQUEST: Final = frozenset(Place(module, "request") for module in ("argosy.agent", "argosy.agent.handlers"))
_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


class Argument(msgspec.Struct, frozen=True):
    """One argument of a handler. is_rest: it is `**others`, which takes every name."""

    name: str
    annotation: ast.expr | None
    default: ast.expr | None
    is_rest: bool = False


class Offer(msgspec.Struct, frozen=True):
    """A request handler as its source has it.

    home: the class whose `def` it is. is_wrapped: a decorator of the tree makes it a handler, and so
    may make another reply of what it returns.
    """

    name: str
    home: Class
    node: ast.FunctionDef | ast.AsyncFunctionDef
    kind: Literal["reply", "stream"]
    is_wrapped: bool = False

    def arguments(self) -> Iterator[Argument]:
        """Yield the arguments but `self`; all come by name."""
        args = self.node.args
        by_place = [*args.posonlyargs, *args.args]
        defaults = [*[None] * (len(by_place) - len(args.defaults)), *args.defaults]
        both = [*zip(by_place, defaults, strict=True)][1:]
        for arg, default in [*both, *zip(args.kwonlyargs, args.kw_defaults, strict=True)]:
            yield Argument(arg.arg, arg.annotation, default)
        if args.kwarg:
            yield Argument(args.kwarg.arg, args.kwarg.annotation, None, is_rest=True)


def find_offers(tree: Tree, cls: Class) -> tuple[Offer, ...]:
    """Return the request handlers of a class and its bases, by name.

    An override keeps its base's mark, as it does when the agent runs.
    """
    made: dict[str, tuple[Class, ast.FunctionDef | ast.AsyncFunctionDef]] = {}
    marked: dict[str, bool] = {}
    for each in reversed(tree.lineage(cls)):
        for node in each.node.body:
            if isinstance(node, _FUNCTIONS):
                mark = _mark(tree, each.module, node)
                if mark is not None:
                    marked[node.name] = mark
                made[node.name] = each, node
    return tuple(
        Offer(name, *made[name], _kind(made[name][1]), is_wrapped)
        for name, is_wrapped in sorted(marked.items())
    )


def _kind(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Literal["reply", "stream"]:
    return "stream" if isinstance(node, ast.AsyncFunctionDef) and _yields(node) else "reply"


def _yields(function: ast.AsyncFunctionDef) -> bool:
    todo: list[ast.AST] = [*function.body]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Yield):
            return True
        if not isinstance(node, _FUNCTIONS | ast.Lambda | ast.ClassDef):
            todo.extend(ast.iter_child_nodes(node))
    return False


def _mark(tree: Tree, module: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool | None:
    """Return whether a decorator of the tree makes a method a handler; None: it is none, or unmarked."""
    for decorator in node.decorator_list:
        written = flow.dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
        place = tree.resolve(module, written) if written else None
        if place in _REQUEST:
            return False
        if place is not None and tree.is_local(place.module):
            function = tree.definition(place)
            if isinstance(function, _FUNCTIONS) and _names_request(tree, place.module, function):
                return True
    return None


def _names_request(tree: Tree, module: str, function: ast.AST) -> bool:
    names = {flow.dotted(node) for node in ast.walk(function) if isinstance(node, ast.Name | ast.Attribute)}
    return any(tree.resolve(module, name) in _REQUEST for name in names if name)
