"""Ports that a script states as literal numbers, and whether it could take another."""

from __future__ import annotations

import ast
import re
from typing import Literal, TypeGuard

import msgspec

from argosy.source import flow
from argosy.source.index import Index
from argosy.source.parse import Parsed

_DIGITS = re.compile(r"[0-9]+")

How = Literal["super().__init__", "self.port", "--port", "bind"]


class LiteralPort(msgspec.Struct, frozen=True):
    """One literal port. how: the shape that it stands in."""

    port: int
    line: int
    column: int
    how: How


class Ports(msgspec.Struct, frozen=True):
    """The literal ports of a file.

    numbers: every number from 1 to 65535 in the code, in strings too. is_open: the file takes a port
    from somewhere else as well (a variable, an argument, a file), so the literals say nothing.
    """

    literals: tuple[LiteralPort, ...] = ()
    numbers: frozenset[int] = frozenset()
    is_open: bool = False


def find_ports(parsed: Parsed, index: Index) -> Ports:
    """Return the literal ports of a file, in the order of its lines. index: filled by `find_scopes`."""
    seen = _Seen(parsed)
    for call, _ in index.of(ast.Call):
        seen.call(call)
    for assigned, _ in index.of(ast.Assign):
        seen.assigned(assigned.value, assigned.targets)
    for annotated, _ in index.of(ast.AnnAssign):
        seen.assigned(annotated.value, [annotated.target])
    for constant, _ in index.of(ast.Constant):
        seen.constant(constant)
    literals = tuple(sorted(seen.literals, key=lambda item: (item.line, item.column)))
    return Ports(literals, frozenset(seen.numbers), seen.is_open)


def find_bound(parsed: Parsed, index: Index) -> tuple[LiteralPort, ...]:
    """Return the literal ports that a file listens on, in the order of its lines."""
    seen = _Seen(parsed)
    for call, _ in index.of(ast.Call):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "bind":
            seen.bound(call)
    return tuple(sorted(seen.literals, key=lambda item: (item.line, item.column)))


class _Seen:
    def __init__(self, parsed: Parsed) -> None:
        self.parsed = parsed
        self.literals: list[LiteralPort] = []
        self.numbers: set[int] = set()
        self.is_open = False

    def add(self, node: ast.expr | None, how: How) -> None:
        """Take `node` as a port: a literal one is kept, anything else makes the file open."""
        if node is None:
            return
        if isinstance(node, ast.Constant) and _is_port(node.value):
            self.literals.append(LiteralPort(node.value, node.lineno, self.parsed.column(node), how))
        else:
            self.is_open = True

    def call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute):
            if node.func.attr == "__init__" and _is_super(node.func.value):
                self.add(_keyword(node, "port"), "super().__init__")
            elif node.func.attr == "add_argument" and _names_port(node):
                self.add(_keyword(node, "default"), "--port")
            elif node.func.attr == "bind":
                self.bound(node)

    def bound(self, node: ast.Call) -> None:
        first = node.args[0] if node.args else None
        if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
            self.is_open = True
            return
        scheme, _, port = first.value.rpartition(":")
        if scheme.startswith("tcp://") and port.isdecimal():
            self.literals.append(LiteralPort(int(port), first.lineno, self.parsed.column(first), "bind"))

    def assigned(self, value: ast.expr | None, targets: list[ast.expr]) -> None:
        if any(flow.dotted(target) == "self.port" for target in targets):
            self.add(value, "self.port")

    def constant(self, node: ast.Constant) -> None:
        if _is_port(node.value):
            self.numbers.add(node.value)
        elif isinstance(node.value, str):
            if len(node.value) < 200:
                self.numbers.update(_numbers(node.value))
            self.is_open = self.is_open or "_PORT" in node.value


def _is_port(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536


def _numbers(text: str) -> list[int]:
    return [int(word) for word in _DIGITS.findall(text) if len(word) < 6]


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and flow.dotted(node.func) == "super"


def _keyword(node: ast.Call, name: str) -> ast.expr | None:
    return next((item.value for item in node.keywords if item.arg == name), None)


def _names_port(node: ast.Call) -> bool:
    return any(isinstance(item, ast.Constant) and item.value == "--port" for item in node.args)
