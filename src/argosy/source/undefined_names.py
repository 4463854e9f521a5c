"""Finds names that functions read but nothing binds: NameErrors at the time of a call."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import msgspec

from argosy.source import control_flow
from argosy.source.name_scopes import PREDEFINED_NAMES, NameScope, NameUse
from argosy.source.python_parser import Parsed

# Bound implicitly in methods and in class bodies.
_CLASS_PREDEFINED_NAMES = frozenset({"__class__", "__module__", "__qualname__"})


class UndefinedName(msgspec.Struct, frozen=True):
    """A name that is read but never bound. use_count: in this file; the position is that of the first use."""

    name: str
    line: int
    column: int
    scope: str
    use_count: int


def find_undefined(parsed: Parsed, module: NameScope) -> tuple[UndefinedName, ...]:
    """Return the names that functions read but nothing binds, each once, with its first use.

    `use_before_def` checks code that runs when the module loads. Returns nothing if a star import or exec may
    bind any name. A use under a handler of NameError is a test for the name, not a fault.
    """
    if module.has_star or module.is_dynamic:
        return ()
    first: dict[str, tuple[ast.Name, str]] = {}
    count: dict[str, int] = {}
    for use, scope in _unbound_uses(parsed, module):
        name = use.name
        count[name] = count.get(name, 0) + 1
        if name not in first or _position(use.node) < _position(first[name][0]):
            first[name] = (use.node, scope.qualified_name())
    found = [
        UndefinedName(name, node.lineno, parsed.column(node), where, count[name])
        for name, (node, where) in first.items()
    ]
    return tuple(sorted(found, key=lambda item: (item.line, item.column)))


def _unbound_uses(parsed: Parsed, module: NameScope) -> Iterator[tuple[NameUse, NameScope]]:
    tested = _uses_tested_by_handler(parsed.tree) if b"NameError" in parsed.source.data else set()
    # A name that the module binds is bound in all nested scopes.
    known = PREDEFINED_NAMES | _CLASS_PREDEFINED_NAMES | module.bindings.keys()
    for scope in module.walk():
        if not scope.is_in_function():
            continue
        for use in scope.uses:
            is_unbound = use.is_evaluated and use.name not in known and use.node not in tested
            if is_unbound and scope.owner_of(use.name) is None:
                yield use, scope


def _position(node: ast.Name) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _uses_tested_by_handler(tree: ast.Module) -> set[ast.Name]:
    found: set[ast.Name] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) and "NameError" in control_flow.caught_by(node):
            for part in node.body:
                found.update(name for name in ast.walk(part) if isinstance(name, ast.Name))
    return found
