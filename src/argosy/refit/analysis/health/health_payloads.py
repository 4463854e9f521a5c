"""Classifies expressions as health payloads: what an agent reports of itself, as a dict with a status.

A payload is known by its content: a `status` that is a word for health, or a `status` with other such keys. A
call is classified by what its function returns; `_get_health_status` of a base class by its name, which is
that of the base's hook. A message that only reports a failure is an error, not a payload.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final, Literal

from argosy.agent.health import is_known_status_word
from argosy.refit.analysis.ast_queries import iter_assignments, last_name, string_literal
from argosy.refit.analysis.socket_uses import SELF_NAMES, enclosing_class
from argosy.refit.core.source_file import PythonFile
from argosy.source.ast_children import children
from argosy.source.control_flow import dotted_name
from argosy.source.name_scopes import NameScope

MessageKind = Literal["health", "error", "other"]
FunctionDefinition = ast.FunctionDef | ast.AsyncFunctionDef

HEALTH_HOOK: Final = "_get_health_status"
HEALTH_HOOKS: Final = frozenset({HEALTH_HOOK, "health_check"})  # methods that the base calls for a payload

# Keys that the reply to any request may have.
_REPLY_WORDS: Final = frozenset(
    {"success", "true", "pass", "complete", "completed", "done", "received", "sent"}
)
ERROR_WORDS: Final = frozenset({"error", "fail", "failed", "false", "unknown_action", "unknown", "invalid"})
_HEALTH_KEYS: Final = frozenset(
    (  # noqa: SIM905
        "uptime uptime_seconds healthy health health_status agent agent_name component service"
        " timestamp last_check pid initialized metrics stats is_healthy"
    ).split()
)
_MAX_DEPTH: Final = 6


def classify_message(file: PythonFile, node: ast.expr, scope: NameScope, depth: int = 0) -> MessageKind:
    """Return what kind of message `node` is, evaluated in `scope`."""
    if depth > _MAX_DEPTH:
        return "other"
    node = unwrap_payload(node)
    if isinstance(node, ast.Dict):
        return _classify_dict(file, node, scope, depth)
    if isinstance(node, ast.Constant):
        return "error" if isinstance(node.value, str | bytes) else "other"
    if isinstance(node, ast.IfExp):
        return _combine_kinds(
            [classify_message(file, each, scope, depth + 1) for each in (node.body, node.orelse)]
        )
    if isinstance(node, ast.Name):
        return _combine_kinds(
            [
                classify_message(file, value, scope, depth + 1)
                for value in iter_local_values(file, node, scope)
            ]
        )
    if isinstance(node, ast.Attribute):
        attribute_assignments = list(iter_attribute_values(file, node, scope))
        return _combine_kinds(
            [classify_message(file, value, inner, depth + 1) for value, inner in attribute_assignments]
        )
    return _classify_call(file, node, scope, depth) if isinstance(node, ast.Call) else "other"


def unwrap_payload(node: ast.expr) -> ast.expr:
    """Return the sent value without its serialization: `x` for `json.dumps(x).encode()`."""
    while True:
        if isinstance(node, ast.Await):
            node = node.value
        elif isinstance(node, ast.List | ast.Tuple) and node.elts:
            node = node.elts[-1]
        elif isinstance(node, ast.Call) and (inner := _serialized_value(node)) is not None:
            node = inner
        else:
            return node


def _serialized_value(call: ast.Call) -> ast.expr | None:
    """Return the value that a call serializes, or makes a dict of; None if it does something else."""
    func = call.func
    if isinstance(func, ast.Attribute) and func.attr == "encode":
        return func.value
    return call.args[0] if call.args and last_name(func) in ("dumps", "packb", "dict") else None


def self_method_name(node: ast.expr) -> str:
    """Return the method name of `self.method()` and `super().method()`; empty for anything else."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return ""
    value = node.func.value
    is_self = isinstance(value, ast.Name) and value.id in SELF_NAMES
    return node.func.attr if is_self or is_super_call(value) else ""


def is_super_call(node: ast.expr) -> bool:
    """Return whether `node` is `super()`."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


def _classify_dict(file: PythonFile, node: ast.Dict, scope: NameScope, depth: int) -> MessageKind:
    keys = {
        string_literal(key): value
        for key, value in zip(node.keys, node.values, strict=True)
        if string_literal(key)
    }
    spread = [value for key, value in zip(node.keys, node.values, strict=True) if key is None]
    if any(classify_message(file, value, scope, depth + 1) == "health" for value in spread):
        return "health"
    value = keys.get("status")
    if value is None:
        return "other"
    literals = list(status_literals(value))
    has_health_keys = bool(_HEALTH_KEYS & keys.keys())
    if literals and all(word.lower() in ERROR_WORDS for word in literals):
        return "error"
    if any(
        is_known_status_word(word) and word.lower() not in _REPLY_WORDS | ERROR_WORDS for word in literals
    ):
        return "health" if has_health_keys or len(keys) == 1 or len(literals) > 1 else "other"
    return "health" if not literals and has_health_keys and len(keys) > 1 else "other"


def status_literals(node: ast.expr) -> Iterator[str]:
    """Yield the string literals that a status may be."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from status_literals(node.body)
        yield from status_literals(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from status_literals(value)


def _combine_kinds(kinds: list[MessageKind]) -> MessageKind:
    """Return the kind of several possible values together: if one is health, all count as health."""
    if not kinds or "other" in kinds:
        return "other"
    return "health" if "health" in kinds else "error"


def _classify_call(file: PythonFile, node: ast.Call, scope: NameScope, depth: int) -> MessageKind:
    method = self_method_name(node)
    if method:
        own = find_method(enclosing_class(scope), method)
        if method in HEALTH_HOOKS or own is None:
            return "health" if method in HEALTH_HOOKS else "other"
        return classify_returns(file, own, depth + 1)
    if isinstance(node.func, ast.Name):
        owner = scope.owner_of(node.func.id)
        inner = find_function(owner, node.func.id) if owner is not None else None
        return classify_returns(file, inner, depth + 1) if inner is not None else "other"
    return "other"


def classify_returns(file: PythonFile, function: NameScope, depth: int = 0) -> MessageKind:
    """Return the kind of a function's result: health if one of its returns is, and no other kind occurs."""
    found = [
        classify_message(file, node.value, function, depth)
        for node in iter_own_nodes(function.node)
        if isinstance(node, ast.Return) and node.value is not None
    ]
    return _combine_kinds(found)


def iter_local_values(file: PythonFile, node: ast.Name, scope: NameScope) -> Iterator[ast.expr]:
    """Yield the possible values of a local name, from the assignments in its function."""
    owner = scope.owner_of(node.id)
    if owner is None or owner.kind == "class":
        return
    for target, value, inner in iter_assignments(file):
        is_it = isinstance(target, ast.Name) and target.id == node.id
        if is_it and inner.owner_of(node.id) is owner:
            yield value


def iter_attribute_values(
    file: PythonFile, node: ast.Attribute, scope: NameScope
) -> Iterator[tuple[ast.expr, NameScope]]:
    """Yield the values that an attribute of self is assigned in its class, each with its scope."""
    owner = enclosing_class(scope)
    if owner is None or not (isinstance(node.value, ast.Name) and node.value.id in SELF_NAMES):
        return
    name = dotted_name(node)
    for target, value, inner in iter_assignments(file):
        if dotted_name(target) == name and enclosing_class(inner) is owner:
            yield value, inner


# Functions and classes, and nodes without children.
_SKIPPED_NODES: Final = frozenset(
    {ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef, ast.Name, ast.Constant}
)


def find_method(owner: NameScope | None, name: str) -> NameScope | None:
    """Return the scope of a method that the class itself defines."""
    return find_function(owner, name) if owner is not None else None


def find_function(owner: NameScope, name: str) -> NameScope | None:
    """Return the last function of this name that a scope defines."""
    found = [c for c in owner.children if c.kind == "function" and c.name == name]
    return found[-1] if found else None


def iter_own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function without those of nested functions and classes."""
    pending = [node]
    while pending:
        for inner in children(pending.pop()):
            yield inner
            if type(inner) not in _SKIPPED_NODES:
                pending.append(inner)
