"""Small queries on syntax trees that several analyses share."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeGuard

from argosy.refit.core.source_file import PythonFile
from argosy.source.control_flow import dotted_name
from argosy.source.name_scopes import NameScope


def last_name(node: ast.expr) -> str:
    """Return the last part of the name of a function or attribute; empty for an expression without a name."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def string_literal(node: ast.expr | None) -> str:
    """Return the value of a string literal; empty for anything else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def fstring_template(node: ast.JoinedStr) -> str:
    """Return the text of an f-string, with `{}` for each value."""
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)


def is_none_literal(node: ast.AST | None) -> bool:
    """Return whether `node` is the constant None."""
    return isinstance(node, ast.Constant) and node.value is None


def is_docstring(node: ast.stmt) -> bool:
    """Return whether a statement is only a constant, such as a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def assigns(node: ast.AST, name: str) -> TypeGuard[ast.Assign]:
    """Return whether a statement assigns to `name`, which may have dots."""
    return isinstance(node, ast.Assign) and any(dotted_name(target) == name for target in node.targets)


def call_arguments(call: ast.Call) -> list[ast.expr]:
    """Return the values of all arguments of a call."""
    return [*call.args, *(item.value for item in call.keywords)]


def keyword_argument(call: ast.Call, *names: str) -> ast.expr | None:
    """Return the first keyword argument with one of `names`."""
    return next((item.value for item in call.keywords if item.arg in names), None)


def target_name(node: ast.expr) -> str:
    """Return the name that an assignment binds: a variable, an attribute, or the key of `table["key"]`."""
    return string_literal(node.slice) if isinstance(node, ast.Subscript) else last_name(node)


def iter_assignments(file: PythonFile) -> Iterator[tuple[ast.expr, ast.expr, NameScope]]:
    """Yield target, value and scope of every assignment, including annotated ones."""
    for node, scope in file.nodes(ast.Assign):
        for target in node.targets:
            yield target, node.value, scope
    for annotated, scope in file.nodes(ast.AnnAssign):
        if annotated.value is not None:
            yield annotated.target, annotated.value, scope


def iter_parameter_defaults(args: ast.arguments) -> Iterator[tuple[str, ast.expr]]:
    """Yield the parameters that have a default, with the default."""
    every = [*args.posonlyargs, *args.args]
    for arg, default in zip(every[len(every) - len(args.defaults) :], args.defaults, strict=True):
        yield arg.arg, default
    for arg, keyword_default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        if keyword_default is not None:
            yield arg.arg, keyword_default


def iter_all_parameter_defaults(file: PythonFile) -> Iterator[tuple[str, ast.expr, NameScope]]:
    """Yield the parameters of all functions that have a default, and the scope that evaluates it."""
    functions = [(node.args, scope) for node, scope in file.nodes(ast.FunctionDef)]
    functions += [(node.args, scope) for node, scope in file.nodes(ast.AsyncFunctionDef)]
    for args, scope in functions:
        for name, default in iter_parameter_defaults(args):
            yield name, default, scope
