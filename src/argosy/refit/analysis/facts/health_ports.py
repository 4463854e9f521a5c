"""Health ports that a module gives its agent as literal numbers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

import msgspec

from argosy.refit.analysis.ast_queries import iter_all_parameter_defaults, iter_assignments, last_name
from argosy.refit.core.fact import FactKind
from argosy.refit.core.source_file import PythonFile
from argosy.source.name_scopes import NameScope

HEALTH_PORT_NAMES: Final = frozenset({"health_port", "health_check_port"})
_MAX_PORT: Final = 65_535
_MAX_DEPTH: Final = 5


class LiteralHealthPort(msgspec.Struct, frozen=True, array_like=True):
    """A literal port that is passed as an agent's health port, or is the default of its variable."""

    port: int
    line: int
    column: int


def collect(file: PythonFile) -> tuple[LiteralHealthPort, ...] | None:
    if b"health" not in file.source.data:
        return None
    found: dict[int, LiteralHealthPort] = {}
    for value, scope in _health_port_values(file):
        port = _default_port(file, value, scope)
        if port is not None:
            found.setdefault(port, LiteralHealthPort(port, value.lineno, file.parsed.column(value)))
    return tuple(found.values()) or None


def _health_port_values(file: PythonFile) -> Iterator[tuple[ast.expr, NameScope]]:
    for call, scope in file.nodes(ast.Call):
        is_constructor = last_name(call.func) == "__init__" or last_name(call.func)[:1].isupper()
        for item in call.keywords if is_constructor else ():
            if item.arg in HEALTH_PORT_NAMES:
                yield item.value, scope
    for target, value, scope in iter_assignments(file):
        if isinstance(target, ast.Attribute) and target.attr in HEALTH_PORT_NAMES:
            yield value, scope
    for name, default, scope in iter_all_parameter_defaults(file):
        if name in HEALTH_PORT_NAMES:
            yield default, scope


def _default_port(file: PythonFile, node: ast.expr, scope: NameScope, depth: int = 0) -> int | None:
    """Return the number that an expression has if no variable and no configuration overrides it."""
    if depth > _MAX_DEPTH:
        return None
    if isinstance(node, ast.Constant):
        text = str(node.value)
        port = int(text) if text.isdecimal() and len(text) <= len(str(_MAX_PORT)) else 0
        return port if 0 < port <= _MAX_PORT else None
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
        return _default_port(file, node.values[-1], scope, depth + 1)
    if isinstance(node, ast.Call):
        name = last_name(node.func)
        if name in ("int", "str") and node.args:
            return _default_port(file, node.args[0], scope, depth + 1)
        has_default = name in ("get", "getenv", "getattr") and len(node.args) > 1
        return _default_port(file, node.args[-1], scope, depth + 1) if has_default else None
    if isinstance(node, ast.Name):
        owner = scope.owner_of(node.id)
        values = [
            (value, inner)
            for target, value, inner in iter_assignments(file)
            if isinstance(target, ast.Name) and target.id == node.id and inner.owner_of(node.id) is owner
        ]
        if len(values) == 1 and owner is not None and len(owner.bindings[node.id]) == 1:
            return _default_port(file, *values[0], depth + 1)
    return None


HEALTH_PORTS: Final = FactKind("health ports", tuple[LiteralHealthPort, ...], collect)
