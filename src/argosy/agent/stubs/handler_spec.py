"""The handlers of an agent's class, read from its source without importing it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from argosy.source import control_flow
from argosy.source.symbol_resolver import ClassDefinition, SymbolRef, SymbolResolver

_REQUEST_DECORATORS: Final = frozenset(
    SymbolRef(module, "request") for module in ("argosy.agent", "argosy.agent.handlers")
)
_FUNCTION_NODES = ast.FunctionDef | ast.AsyncFunctionDef


class HandlerArgument(msgspec.Struct, frozen=True):
    """One argument of a handler. is_var_keyword: it is `**others`, which takes every name."""

    name: str
    annotation: ast.expr | None
    default: ast.expr | None
    is_var_keyword: bool = False


class HandlerSpec(msgspec.Struct, frozen=True):
    """A request handler as its source has it.

    owner: the class whose `def` it is. is_wrapped: a decorator of the tree makes it a handler, and so
    may change the type of its reply.
    """

    name: str
    owner: ClassDefinition
    node: ast.FunctionDef | ast.AsyncFunctionDef
    kind: Literal["reply", "stream"]
    is_wrapped: bool = False

    def arguments(self) -> Iterator[HandlerArgument]:
        """Yield the arguments but `self`; all are passed by name."""
        args = self.node.args
        positional = [*args.posonlyargs, *args.args]
        defaults = [*[None] * (len(positional) - len(args.defaults)), *args.defaults]
        both = [*zip(positional, defaults, strict=True)][1:]
        for arg, default in [*both, *zip(args.kwonlyargs, args.kw_defaults, strict=True)]:
            yield HandlerArgument(arg.arg, arg.annotation, default)
        if args.kwarg:
            yield HandlerArgument(args.kwarg.arg, args.kwarg.annotation, None, is_var_keyword=True)


def find_handler_specs(tree: SymbolResolver, cls: ClassDefinition) -> tuple[HandlerSpec, ...]:
    """Return the request handlers of a class and its bases, by name.

    An override keeps its base's mark, as it does when the agent runs.
    """
    definitions: dict[str, tuple[ClassDefinition, ast.FunctionDef | ast.AsyncFunctionDef]] = {}
    marked: dict[str, bool] = {}
    for each in reversed(tree.base_chain(cls)):
        for node in each.node.body:
            if isinstance(node, _FUNCTION_NODES):
                mark = _find_request_mark(tree, each.module, node)
                if mark is not None:
                    marked[node.name] = mark
                definitions[node.name] = each, node
    return tuple(
        HandlerSpec(name, *definitions[name], _reply_kind(definitions[name][1]), is_wrapped)
        for name, is_wrapped in sorted(marked.items())
    )


def _reply_kind(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Literal["reply", "stream"]:
    return "stream" if isinstance(node, ast.AsyncFunctionDef) and _is_generator(node) else "reply"


def _is_generator(function: ast.AsyncFunctionDef) -> bool:
    todo: list[ast.AST] = [*function.body]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Yield):
            return True
        if not isinstance(node, _FUNCTION_NODES | ast.Lambda | ast.ClassDef):
            todo.extend(ast.iter_child_nodes(node))
    return False


def _find_request_mark(
    tree: SymbolResolver, module: str, node: ast.FunctionDef | ast.AsyncFunctionDef
) -> bool | None:
    """Return whether a decorator of the tree makes a method a handler; None: it is not marked."""
    for decorator in node.decorator_list:
        written = control_flow.dotted_name(decorator.func if isinstance(decorator, ast.Call) else decorator)
        place = tree.resolve(module, written) if written else None
        if place in _REQUEST_DECORATORS:
            return False
        if place is not None and tree.is_local(place.module):
            function = tree.find_definition(place)
            if isinstance(function, _FUNCTION_NODES) and _refers_to_request(tree, place.module, function):
                return True
    return None


def _refers_to_request(tree: SymbolResolver, module: str, function: ast.AST) -> bool:
    names = {
        control_flow.dotted_name(node)
        for node in ast.walk(function)
        if isinstance(node, ast.Name | ast.Attribute)
    }
    return any(tree.resolve(module, name) in _REQUEST_DECORATORS for name in names if name)
