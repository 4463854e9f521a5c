"""The status words that health payloads use."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from argosy.refit.file import PythonFile
from argosy.refit.health.loops import find_health_loops
from argosy.refit.health.payloads import ERRORS, HOOKS, method_of, own_nodes, payload_call, sort_of, unwrapped
from argosy.refit.sockets import SENDERS, class_of
from argosy.source.scopes import Scope

_ASKED: Final = frozenset({"health", "health_check"})


def status_words(file: PythonFile) -> Iterator[tuple[ast.Constant, Scope]]:
    """Yield each literal status word of a health payload, with the scope that it stands in; each once."""
    told: set[int] = set()
    for value, scope in _payloads(file):
        for node, word in _words(file, value, scope):
            # Beside a payload stands what is answered to anything else.
            is_error = scope.name not in HOOKS and str(word.value).lower() in ERRORS
            if id(word) not in told and not is_error:
                told.add(id(word))
                yield word, node


def _payloads(file: PythonFile) -> Iterator[tuple[ast.expr, Scope]]:
    """Yield the expressions that are given as health: by a hook, by a loop, to a question for health."""
    for scope in file.scope.walk():
        if scope.kind == "function" and scope.name in HOOKS and class_of(scope) is scope.parent:
            yield from _returned(scope)
    for loop in find_health_loops(file):
        for send, sort in loop.sends:
            if sort == "health":
                yield from _sent(file, send.args[0], loop.function)
    if b"health" in file.source.data:
        yield from _answered(file)


def _answered(file: PythonFile) -> Iterator[tuple[ast.expr, Scope]]:
    """Yield what stands behind a comparison of the request with a word for health."""
    for compared, scope in file.nodes(ast.Compare):
        node = _branch(file, compared) if _asks_health(compared) else None
        for value in _answers(node.body) if node is not None else ():
            if sort_of(file, value, scope) == "health":
                yield value, scope


def _branch(file: PythonFile, test: ast.Compare) -> ast.If | None:
    """Return the statement that a comparison is the test of, alone or among others."""
    inner: ast.AST = test
    for around in file.ancestors(test):
        if isinstance(around, ast.If):
            return around if inner is around.test else None
        if isinstance(around, ast.stmt):
            return None
        inner = around
    return None


def _returned(scope: Scope) -> Iterator[tuple[ast.expr, Scope]]:
    for node in own_nodes(scope.node):
        if isinstance(node, ast.Return) and node.value is not None:
            yield node.value, scope


def _sent(file: PythonFile, node: ast.expr, scope: Scope) -> Iterator[tuple[ast.expr, Scope]]:
    yield node, scope
    method = payload_call(unwrapped(node))
    own = method_of(class_of(scope), method) if method else None
    if own is not None:
        yield from _returned(own)


def _asks_health(node: ast.Compare) -> bool:
    sides = [node.left, *node.comparators]
    given = [each for side in sides for each in (side.elts if isinstance(side, _MANY) else [side])]
    is_named = any(isinstance(each, ast.Constant) and each.value in _ASKED for each in given)
    return is_named and all(isinstance(op, ast.Eq | ast.In) for op in node.ops)


_MANY: Final = (ast.List, ast.Tuple, ast.Set)


def _answers(body: list[ast.stmt]) -> Iterator[ast.expr]:
    for statement in body:
        if isinstance(statement, ast.Return | ast.Assign) and isinstance(statement.value, ast.Dict):
            yield statement.value
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            call = statement.value
            if isinstance(call.func, ast.Attribute) and call.func.attr in SENDERS and call.args:
                yield call.args[0]


def _words(
    file: PythonFile, node: ast.expr, scope: Scope, depth: int = 0
) -> Iterator[tuple[Scope, ast.Constant]]:
    node = unwrapped(node)
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == "status":
                yield from ((scope, word) for word in _literals(value))
    elif isinstance(node, ast.IfExp):
        yield from _words(file, node.body, scope, depth)
        yield from _words(file, node.orelse, scope, depth)
    elif isinstance(node, ast.Name) and scope.kind == "function" and depth < 3:
        yield from _of_name(file, node.id, scope, depth)


def _of_name(file: PythonFile, name: str, scope: Scope, depth: int) -> Iterator[tuple[Scope, ast.Constant]]:
    """Yield the words of a dict that is kept under a name of the function, and changed there."""
    for node in own_nodes(scope.node):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id == name:
                    yield from _words(file, node.value, scope, depth + 1)
                elif _is_status_of(target, name):
                    yield from ((scope, word) for word in _literals(node.value))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            value = node.func.value
            if node.func.attr == "update" and isinstance(value, ast.Name) and value.id == name:
                yield from _words(file, node.args[0], scope, depth + 1)


def _is_status_of(target: ast.expr, name: str) -> bool:
    return (
        isinstance(target, ast.Subscript)
        and isinstance(target.value, ast.Name)
        and target.value.id == name
        and isinstance(target.slice, ast.Constant)
        and target.slice.value == "status"
    )


def _literals(node: ast.expr) -> Iterator[ast.Constant]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node
    elif isinstance(node, ast.IfExp):
        yield from _literals(node.body)
        yield from _literals(node.orelse)
