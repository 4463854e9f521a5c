"""Ports that a module binds by number, or derives from another port: `self.port + 1`."""

from __future__ import annotations

import ast
import re

import msgspec

from argosy.refit.analysis.ast_queries import last_name, string_literal
from argosy.refit.core.fact import FactKind
from argosy.refit.core.source_file import PythonFile
from argosy.source.literal_ports import find_bound_ports

# Searches for a free port: an offset there is tried, not taken.
_PORT_SEARCH_NAME = re.compile(r"free|find|available|scan", re.IGNORECASE)


class DerivedPort(msgspec.Struct, frozen=True, array_like=True):
    """A port that is another port plus an offset. source: as written, such as `self.port + 1`."""

    offset: int
    source: str
    line: int
    column: int


class BoundPort(msgspec.Struct, frozen=True, array_like=True):
    """A literal port that the module listens on."""

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
