"""What the names in an expression stand for, as far as one file tells."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.addresses.environment import environment_read
from argosy.refit.addresses.shapes import assignments, last_name, parameter_defaults
from argosy.refit.file import PythonFile
from argosy.source.scopes import Function, Scope

_DEPTH = 4
Placed = tuple[ast.expr, Scope]


class Values:
    """The expressions that names and attributes of `self` are given in a file."""

    def __init__(self, file: PythonFile) -> None:
        self._names: dict[tuple[Scope, str], list[Placed]] = {}
        self._attributes: dict[tuple[Scope, str], list[Placed]] = {}
        for target, value, scope in assignments(file):
            self._take(target, value, scope)

    def of(self, node: ast.expr, scope: Scope, depth: int = _DEPTH) -> Iterator[Placed]:
        """Yield the expressions that `node` may come to: itself, or what is behind names and fallbacks."""
        if depth == 0:
            return
        for inner, where in self._behind(node, scope):
            yield from self.of(inner, where, depth - 1)
        if isinstance(node, ast.Constant | ast.JoinedStr):
            yield node, scope

    def _behind(self, node: ast.expr, scope: Scope) -> Iterator[Placed]:
        if isinstance(node, ast.Name):
            yield from self._of_name(node.id, scope)
        elif isinstance(node, ast.Attribute):
            around = _class_of(scope)
            if around is not None and isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                yield from self._attributes.get((around, node.attr), ())
                yield from self._names.get((around, node.attr), ())
        elif isinstance(node, ast.Call):
            default = _fallback_of(node, scope)
            if default is not None:
                yield default, scope
        elif isinstance(node, ast.BoolOp):
            yield from ((value, scope) for value in node.values)
        elif isinstance(node, ast.IfExp):
            yield from ((value, scope) for value in (node.body, node.orelse))

    def _of_name(self, name: str, scope: Scope) -> Iterator[Placed]:
        owner = scope.owner_of(name)
        if owner is None:
            return
        yield from self._names.get((owner, name), ())
        if isinstance(owner.node, Function) and owner.parent is not None:
            for parameter, default in parameter_defaults(owner.node.args):
                if parameter == name:
                    yield default, owner.parent

    def _take(self, target: ast.expr, value: ast.expr, scope: Scope) -> None:
        if isinstance(target, ast.Name):
            owner = scope.owner_of(target.id) or scope
            self._names.setdefault((owner, target.id), []).append((value, scope))
        elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            around = _class_of(scope)
            if around is not None and target.value.id in ("self", "cls"):
                self._attributes.setdefault((around, target.attr), []).append((value, scope))


def _class_of(scope: Scope) -> Scope | None:
    found: Scope | None = scope
    while found is not None and found.kind != "class":
        found = found.parent
    return found


def _fallback_of(call: ast.Call, scope: Scope) -> ast.expr | None:
    """Return what a call gives where it finds nothing: `os.getenv(name, this)`, `table.get(key, this)`."""
    read = environment_read(call, scope)
    if read is not None:
        return read.default
    is_lookup = last_name(call.func) == "get" and len(call.args) == 2
    return call.args[1] if is_lookup else None
