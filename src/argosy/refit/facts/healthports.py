"""The health ports that a module gives its agent by their numbers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

import msgspec

from argosy.refit.addresses.shapes import all_parameter_defaults, assignments, last_name
from argosy.refit.fact import FactKind
from argosy.refit.file import PythonFile
from argosy.source.scopes import Scope

NAMES: Final = frozenset({"health_port", "health_check_port"})
_MOST_PORT: Final = 65_535
_DEEP: Final = 5


class HealthPort(msgspec.Struct, frozen=True, array_like=True):
    """A literal port that is given as an agent's health port, or that its variable has by default."""

    port: int
    line: int
    column: int


def collect(file: PythonFile) -> tuple[HealthPort, ...] | None:
    if b"health" not in file.source.data:
        return None
    found: dict[int, HealthPort] = {}
    for value, scope in _given(file):
        port = _port(file, value, scope)
        if port is not None:
            found.setdefault(port, HealthPort(port, value.lineno, file.parsed.column(value)))
    return tuple(found.values()) or None


def _given(file: PythonFile) -> Iterator[tuple[ast.expr, Scope]]:
    for call, scope in file.nodes(ast.Call):
        is_made = last_name(call.func) == "__init__" or last_name(call.func)[:1].isupper()
        for item in call.keywords if is_made else ():
            if item.arg in NAMES:
                yield item.value, scope
    for target, value, scope in assignments(file):
        if isinstance(target, ast.Attribute) and target.attr in NAMES:
            yield value, scope
    for name, default, scope in all_parameter_defaults(file):
        if name in NAMES:
            yield default, scope


def _port(file: PythonFile, node: ast.expr, scope: Scope, depth: int = 0) -> int | None:
    """Return the number that an expression is when no variable and no configuration says otherwise."""
    if depth > _DEEP:
        return None
    if isinstance(node, ast.Constant):
        text = str(node.value)
        port = int(text) if text.isdecimal() and len(text) <= len(str(_MOST_PORT)) else 0
        return port if 0 < port <= _MOST_PORT else None
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
        return _port(file, node.values[-1], scope, depth + 1)
    if isinstance(node, ast.Call):
        name = last_name(node.func)
        if name in ("int", "str") and node.args:
            return _port(file, node.args[0], scope, depth + 1)
        has_default = name in ("get", "getenv", "getattr") and len(node.args) > 1
        return _port(file, node.args[-1], scope, depth + 1) if has_default else None
    if isinstance(node, ast.Name):
        owner = scope.owner_of(node.id)
        values = [
            (value, inner)
            for target, value, inner in assignments(file)
            if isinstance(target, ast.Name) and target.id == node.id and inner.owner_of(node.id) is owner
        ]
        if len(values) == 1 and owner is not None and len(owner.bindings[node.id]) == 1:
            return _port(file, *values[0], depth + 1)
    return None


HEALTH_PORTS: Final = FactKind("healthports", tuple[HealthPort, ...], collect)
