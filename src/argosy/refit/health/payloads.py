"""Which expressions are health payloads: what an agent says of itself, as a dict with a status.

A payload is known by what it holds: a `status` whose word is one for health, or one beside other
facts of the kind. A call is what its function returns; `_get_health_status` of a base is one by
the name that the base's hook has. What says only that something failed is an error, no payload.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final, Literal

from argosy.agent.health import is_known_word
from argosy.refit.addresses.shapes import assignments, last_name, text_of
from argosy.refit.file import PythonFile
from argosy.refit.sockets import SELF, class_of
from argosy.source import flow
from argosy.source.nodes import children
from argosy.source.scopes import Scope

Sort = Literal["health", "error", "other"]
Function = ast.FunctionDef | ast.AsyncFunctionDef

HOOK: Final = "_get_health_status"
HOOKS: Final = frozenset({HOOK, "health_check"})  # that the base has, and asks for a payload

# Words that an answer to any request may begin with.
_ANSWERS: Final = frozenset({"success", "true", "pass", "complete", "completed", "done", "received", "sent"})
ERRORS: Final = frozenset({"error", "fail", "failed", "false", "unknown_action", "unknown", "invalid"})
_TELLING: Final = frozenset(
    (  # noqa: SIM905
        "uptime uptime_seconds healthy health health_status agent agent_name component service"
        " timestamp last_check pid initialized metrics stats is_healthy"
    ).split()
)
_DEEP: Final = 6


def sort_of(file: PythonFile, node: ast.expr, scope: Scope, depth: int = 0) -> Sort:
    """Return what kind of message `node` is, evaluated in `scope`."""
    if depth > _DEEP:
        return "other"
    node = unwrapped(node)
    if isinstance(node, ast.Dict):
        return _sort_of_dict(file, node, scope, depth)
    if isinstance(node, ast.Constant):
        return "error" if isinstance(node.value, str | bytes) else "other"
    if isinstance(node, ast.IfExp):
        return _joint([sort_of(file, each, scope, depth + 1) for each in (node.body, node.orelse)])
    if isinstance(node, ast.Name):
        return _joint([sort_of(file, value, scope, depth + 1) for value in values_of(file, node, scope)])
    if isinstance(node, ast.Attribute):
        kept = list(attribute_values(file, node, scope))
        return _joint([sort_of(file, value, inner, depth + 1) for value, inner in kept])
    return _sort_of_call(file, node, scope, depth) if isinstance(node, ast.Call) else "other"


def unwrapped(node: ast.expr) -> ast.expr:
    """Return what is sent, without what makes bytes of it: `json.dumps(x).encode()` is `x`."""
    while True:
        if isinstance(node, ast.Await):
            node = node.value
        elif isinstance(node, ast.List | ast.Tuple) and node.elts:
            node = node.elts[-1]
        elif isinstance(node, ast.Call) and (inner := _encoded(node)) is not None:
            node = inner
        else:
            return node


def _encoded(call: ast.Call) -> ast.expr | None:
    """Return what a call makes bytes or a dict of, None where it does something else."""
    func = call.func
    if isinstance(func, ast.Attribute) and func.attr == "encode":
        return func.value
    return call.args[0] if call.args and last_name(func) in ("dumps", "packb", "dict") else None


def payload_call(node: ast.expr) -> str:
    """Return the method of `self.method()`, `super().method()`; empty for anything else."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return ""
    value = node.func.value
    is_own = isinstance(value, ast.Name) and value.id in SELF
    return node.func.attr if is_own or is_super(value) else ""


def is_super(node: ast.expr) -> bool:
    """Return whether `node` is `super()`."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


def _sort_of_dict(file: PythonFile, node: ast.Dict, scope: Scope, depth: int) -> Sort:
    keys = {text_of(key): value for key, value in zip(node.keys, node.values, strict=True) if text_of(key)}
    spread = [value for key, value in zip(node.keys, node.values, strict=True) if key is None]
    if any(sort_of(file, value, scope, depth + 1) == "health" for value in spread):
        return "health"
    value = keys.get("status")
    if value is None:
        return "other"
    words = list(words_in(value))
    telling = bool(_TELLING & keys.keys())
    if words and all(word.lower() in ERRORS for word in words):
        return "error"
    if any(is_known_word(word) and word.lower() not in _ANSWERS | ERRORS for word in words):
        return "health" if telling or len(keys) == 1 or len(words) > 1 else "other"
    return "health" if not words and telling and len(keys) > 1 else "other"


def words_in(node: ast.expr) -> Iterator[str]:
    """Yield the literal texts that a status may be."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from words_in(node.body)
        yield from words_in(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from words_in(value)


def _joint(sorts: list[Sort]) -> Sort:
    """Return what several possible values are together: one for health makes all of it that."""
    if not sorts or "other" in sorts:
        return "other"
    return "health" if "health" in sorts else "error"


def _sort_of_call(file: PythonFile, node: ast.Call, scope: Scope, depth: int) -> Sort:
    method = payload_call(node)
    if method:
        own = method_of(class_of(scope), method)
        if method in HOOKS or own is None:
            return "health" if method in HOOKS else "other"
        return sort_of_function(file, own, depth + 1)
    if isinstance(node.func, ast.Name):
        owner = scope.owner_of(node.func.id)
        inner = function_in(owner, node.func.id) if owner is not None else None
        return sort_of_function(file, inner, depth + 1) if inner is not None else "other"
    return "other"


def sort_of_function(file: PythonFile, function: Scope, depth: int = 0) -> Sort:
    """Return what a function returns: a health payload where one of its returns is, and none is another."""
    found = [
        sort_of(file, node.value, function, depth)
        for node in own_nodes(function.node)
        if isinstance(node, ast.Return) and node.value is not None
    ]
    return _joint(found)


def values_of(file: PythonFile, node: ast.Name, scope: Scope) -> Iterator[ast.expr]:
    """Yield what a local name may hold, as the assignments of its function say."""
    owner = scope.owner_of(node.id)
    if owner is None or owner.kind == "class":
        return
    for target, value, inner in assignments(file):
        is_it = isinstance(target, ast.Name) and target.id == node.id
        if is_it and inner.owner_of(node.id) is owner:
            yield value


def attribute_values(file: PythonFile, node: ast.Attribute, scope: Scope) -> Iterator[tuple[ast.expr, Scope]]:
    """Yield what an attribute of self is set to in its class, each with the scope that computes it."""
    owner = class_of(scope)
    if owner is None or not (isinstance(node.value, ast.Name) and node.value.id in SELF):
        return
    name = flow.dotted(node)
    for target, value, inner in assignments(file):
        if flow.dotted(target) == name and class_of(inner) is owner:
            yield value, inner


# What is a function or a class, and what holds no node.
_OTHERS: Final = frozenset(
    {ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef, ast.Name, ast.Constant}
)


def method_of(owner: Scope | None, name: str) -> Scope | None:
    """Return the scope of a class's own method."""
    return function_in(owner, name) if owner is not None else None


def function_in(owner: Scope, name: str) -> Scope | None:
    """Return the last function of this name that a scope defines."""
    found = [c for c in owner.children if c.kind == "function" and c.name == name]
    return found[-1] if found else None


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function without those of functions and classes within it."""
    todo = [node]
    while todo:
        for inner in children(todo.pop()):
            yield inner
            if type(inner) not in _OTHERS:
                todo.append(inner)
