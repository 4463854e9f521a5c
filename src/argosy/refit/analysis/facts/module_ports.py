"""Ports that a module binds by number, derives (`self.port + 1`), or gives its agent as a health port."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from argosy.refit.analysis.ast_queries import (
    iter_all_parameter_defaults,
    iter_assignments,
    last_name,
    string_literal,
)
from argosy.refit.core.fact import FactKind
from argosy.refit.core.source_file import PythonFile
from argosy.source.literal_ports import find_bound_ports
from argosy.source.name_scopes import NameScope

# Searches for a free port: an offset there is tried, not taken.
_PORT_SEARCH_NAME = re.compile(r"free|find|available|scan", re.IGNORECASE)


class DerivedPort(msgspec.Struct, frozen=True, array_like=True):
    """A port that is another port plus an offset. source: as written, such as `self.port + 1`."""

    offset: int
    source: str
    line: int
    column: int


class BoundPort(msgspec.Struct, frozen=True, array_like=True):
    """A literal port that the module listens on, or gives its agent as a health port."""

    port: int
    line: int
    column: int


class ModulePorts(msgspec.Struct, frozen=True, array_like=True):
    """The ports of a module.

    derived, bound: in line order. bases: of its classes, as imported. has_explicit_health_port: it passes a
    health port to the class that it inherits from.
    """

    derived: tuple[DerivedPort, ...]
    bound: tuple[BoundPort, ...]
    bases: tuple[str, ...]
    has_explicit_health_port: bool


def collect(file: PythonFile) -> ModulePorts | None:
    found = ModulePorts(
        tuple(_derived_ports(file)),
        tuple(
            BoundPort(item.port, item.line, item.column) for item in find_bound_ports(file.parsed, file.index)
        ),
        tuple(dict.fromkeys(_imported_bases(file))),
        _has_explicit_health_port(file),
    )
    return found if found.derived or found.bound or found.bases else None


def _derived_ports(file: PythonFile) -> list[DerivedPort]:
    """Return the sums of the port and a literal, each once."""
    found: dict[str, DerivedPort] = {}
    search_arguments: set[ast.expr] | None = None
    for node, scope in file.nodes(ast.BinOp):
        offset = _small_literal(node.right) if isinstance(node.op, ast.Add) else 0
        if (
            not offset
            or _port_name(node.left) not in ("port", "main_port")
            or _PORT_SEARCH_NAME.search(scope.name)
        ):
            continue
        search_arguments = _search_arguments(file) if search_arguments is None else search_arguments
        if node not in search_arguments:
            source = file.segment(node)
            found.setdefault(source, DerivedPort(offset, source, node.lineno, file.parsed.column(node)))
    return list(found.values())


def _search_arguments(file: PythonFile) -> set[ast.expr]:
    """Return the arguments of functions that search for a free port."""
    calls = (call for call, _ in file.nodes(ast.Call) if _PORT_SEARCH_NAME.search(last_name(call.func)))
    return {value for call in calls for value in call.args}


def _small_literal(node: ast.expr) -> int:
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, int) and 0 < value <= 10_000 else 0


def _port_name(node: ast.expr) -> str:
    """Return what a port is called: `port` for `self.port`, `int(port)` and `config["port"]`."""
    if isinstance(node, ast.Call) and last_name(node.func) == "int" and node.args:
        return _port_name(node.args[0])
    if isinstance(node, ast.Subscript):
        return string_literal(node.slice)
    if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
        return ""
    return last_name(node)


def _imported_bases(file: PythonFile) -> list[str]:
    found = []
    for node, scope in file.nodes(ast.ClassDef):
        for base in node.bases:
            origin = file.origin(base, scope)
            if origin is not None and "." in origin.name:
                found.append(origin.name)
    return found


def _has_explicit_health_port(file: PythonFile) -> bool:
    for call, _ in file.nodes(ast.Call):
        if last_name(call.func) == "__init__" and any("health" in (item.arg or "") for item in call.keywords):
            return True
    return False


MODULE_PORTS = FactKind("module ports", ModulePorts, collect)


# -- health ports ------------------------------------------------------------------------------------


HEALTH_PORT_NAMES: Final = frozenset({"health_port", "health_check_port"})
_MAX_PORT: Final = 65_535
_MAX_DEPTH: Final = 5


def collect_health_ports(file: PythonFile) -> tuple[BoundPort, ...] | None:
    if b"health" not in file.source.data:
        return None
    found: dict[int, BoundPort] = {}
    for value, scope in _health_port_values(file):
        port = _default_port(file, value, scope)
        if port is not None:
            found.setdefault(port, BoundPort(port, value.lineno, file.parsed.column(value)))
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


HEALTH_PORTS: Final = FactKind("health ports", tuple[BoundPort, ...], collect_health_ports)
