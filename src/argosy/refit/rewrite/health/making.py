"""Functions of the tree that make a socket, set its options and return it, and do nothing else."""

from __future__ import annotations

import ast

from argosy.refit.rewrite.elsewhere import find_function, parameter_of
from argosy.refit.rewrite.health.kinds import Kinds
from argosy.refit.rewrite.health.still import is_log, is_still
from argosy.refit.rewrite.index import Index
from argosy.source import flow


def makes_socket(kinds: Kinds, index: Index, value: ast.expr) -> bool:
    """Return whether an expression makes a socket and does no more, by itself or by such a function.

    kinds: of the expression's file, that have to know its context.
    """
    if not isinstance(value, ast.Call):
        return False
    func = value.func
    if isinstance(func, ast.Attribute) and func.attr == "socket":
        return kinds.of(func.value) == "context" and len(value.args) == 1 and not value.keywords
    given = [*value.args, *(item.value for item in value.keywords)]
    found = find_function(kinds.view, index, func) if all(is_still(kinds, each) for each in given) else None
    if found is None:
        return False
    there, made = found
    context = _only_makes(Kinds(there), made)
    return any(kinds.of(each) == "context" and parameter_of(made, value, each) == context for each in given)


def _only_makes(kinds: Kinds, made: ast.FunctionDef) -> str:
    """Return the parameter of which a function makes a socket that it returns; empty if it does more.

    To set options of the socket is not more.
    """
    names = {arg.arg for arg in (*made.args.posonlyargs, *made.args.args, *made.args.kwonlyargs)}
    body = [node for node in made.body if not _is_text(node)]
    first, last = (body[0], body[-1]) if len(body) > 1 else (None, None)
    if not (isinstance(first, ast.Assign) and isinstance(last, ast.Return)):
        return ""
    target = flow.dotted(first.targets[0]) if len(first.targets) == 1 else ""
    call = first.value
    is_made = (
        isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "socket"
    )
    if not (is_made and target.isidentifier() and _root(call) in names):
        return ""
    if last.value is None or flow.dotted(last.value) != target:
        return ""
    return _root(call) if all(_sets_option(kinds, node, target) for node in body[1:-1]) else ""


def _root(call: ast.expr) -> str:
    func = call.func if isinstance(call, ast.Call) else None
    return flow.dotted(func.value) if isinstance(func, ast.Attribute) else ""


def _sets_option(kinds: Kinds, node: ast.stmt, socket: str) -> bool:
    """Return whether a statement does nothing but set options of a socket, log, and ask what it is given."""
    if isinstance(node, ast.If):
        inner = (*node.body, *node.orelse)
        return is_still(kinds, node.test) and all(_sets_option(kinds, each, socket) for each in inner)
    if isinstance(node, ast.Pass) or _is_text(node):
        return True
    if isinstance(node, ast.Assign):
        is_its = [flow.dotted(target).rpartition(".")[0] for target in node.targets] == [socket]
        return is_its and is_still(kinds, node.value)
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        return False
    call = node.value
    held, _, method = flow.dotted(call.func).rpartition(".")
    is_option = held == socket and method in ("setsockopt", "setsockopt_string", "set")
    given = [*call.args, *(item.value for item in call.keywords)]
    return is_log(kinds, call) or (is_option and all(is_still(kinds, each) for each in given))


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
