"""Finds the ports that a script contains as literals, and whether it can use others."""

from __future__ import annotations

import ast
import re
from typing import Literal, TypeGuard

import msgspec

from argosy.source import control_flow
from argosy.source.binder import NodeIndex
from argosy.source.python_parser import Parsed

_DIGITS = re.compile(r"[0-9]+")

PortPattern = Literal["super().__init__", "self.port", "--port", "bind"]


class LiteralPort(msgspec.Struct, frozen=True):
    """One literal port. pattern: the code pattern that contains it."""

    port: int
    line: int
    column: int
    pattern: PortPattern


class LiteralPorts(msgspec.Struct, frozen=True):
    """The literal ports of a file.

    numbers: every number from 1 to 65535 in the code, including strings. has_computed_ports: the file also
    takes a port from a variable, an argument or a file, so the literals are not conclusive.
    """

    literals: tuple[LiteralPort, ...] = ()
    numbers: frozenset[int] = frozenset()
    has_computed_ports: bool = False


def find_literal_ports(parsed: Parsed, index: NodeIndex) -> LiteralPorts:
    """Return the literal ports of a file, in line order. index: filled by `find_scopes`."""
    collector = _PortCollector(parsed)
    for call, _ in index.of_type(ast.Call):
        collector.visit_call(call)
    for assigned, _ in index.of_type(ast.Assign):
        collector.visit_assignment(assigned.value, assigned.targets)
    for annotated, _ in index.of_type(ast.AnnAssign):
        collector.visit_assignment(annotated.value, [annotated.target])
    for constant, _ in index.of_type(ast.Constant):
        collector.visit_constant(constant)
    literals = tuple(sorted(collector.literals, key=lambda item: (item.line, item.column)))
    return LiteralPorts(literals, frozenset(collector.numbers), collector.has_computed_ports)


def find_bound_ports(parsed: Parsed, index: NodeIndex) -> tuple[LiteralPort, ...]:
    """Return the literal ports that a file listens on, in line order."""
    collector = _PortCollector(parsed)
    for call, _ in index.of_type(ast.Call):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "bind":
            collector.visit_bind(call)
    return tuple(sorted(collector.literals, key=lambda item: (item.line, item.column)))


class _PortCollector:
    def __init__(self, parsed: Parsed) -> None:
        self.parsed = parsed
        self.literals: list[LiteralPort] = []
        self.numbers: set[int] = set()
        self.has_computed_ports = False

    def add_port(self, node: ast.expr | None, pattern: PortPattern) -> None:
        """Record `node` as a port: a literal is kept, anything else is a computed port."""
        if node is None:
            return
        if isinstance(node, ast.Constant) and _is_port(node.value):
            self.literals.append(LiteralPort(node.value, node.lineno, self.parsed.column(node), pattern))
        else:
            self.has_computed_ports = True

    def visit_call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute):
            if node.func.attr == "__init__" and _is_super(node.func.value):
                self.add_port(_keyword_argument(node, "port"), "super().__init__")
            elif node.func.attr == "add_argument" and _is_port_option(node):
                self.add_port(_keyword_argument(node, "default"), "--port")
            elif node.func.attr == "bind":
                self.visit_bind(node)

    def visit_bind(self, node: ast.Call) -> None:
        first = node.args[0] if node.args else None
        if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
            self.has_computed_ports = True
            return
        scheme, _, port = first.value.rpartition(":")
        if scheme.startswith("tcp://") and port.isdecimal():
            self.literals.append(LiteralPort(int(port), first.lineno, self.parsed.column(first), "bind"))

    def visit_assignment(self, value: ast.expr | None, targets: list[ast.expr]) -> None:
        if any(control_flow.dotted_name(target) == "self.port" for target in targets):
            self.add_port(value, "self.port")

    def visit_constant(self, node: ast.Constant) -> None:
        if _is_port(node.value):
            self.numbers.add(node.value)
        elif isinstance(node.value, str):
            if len(node.value) < 200:
                self.numbers.update(_numbers_in(node.value))
            self.has_computed_ports = self.has_computed_ports or "_PORT" in node.value


def _is_port(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536


def _numbers_in(text: str) -> list[int]:
    return [int(word) for word in _DIGITS.findall(text) if len(word) < 6]


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and control_flow.dotted_name(node.func) == "super"


def _keyword_argument(node: ast.Call, name: str) -> ast.expr | None:
    return next((item.value for item in node.keywords if item.arg == name), None)


def _is_port_option(node: ast.Call) -> bool:
    return any(isinstance(item, ast.Constant) and item.value == "--port" for item in node.args)
