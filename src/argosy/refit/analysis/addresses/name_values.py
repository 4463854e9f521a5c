"""The possible values of the names in an expression, as far as one file shows them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.analysis.addresses.environment_reads import find_environment_read
from argosy.refit.analysis.ast_queries import iter_assignments, iter_parameter_defaults, last_name
from argosy.refit.core.source_file import PythonFile
from argosy.source.name_scopes import FunctionNode, NameScope

_MAX_DEPTH = 4
ScopedExpression = tuple[ast.expr, NameScope]


class NameValues:
    """The expressions that names and attributes of `self` are assigned in a file."""

    def __init__(self, file: PythonFile) -> None:
        self._names: dict[tuple[NameScope, str], list[ScopedExpression]] = {}
        self._attributes: dict[tuple[NameScope, str], list[ScopedExpression]] = {}
        for target, value, scope in iter_assignments(file):
            self._add_assignment(target, value, scope)

    def possible_values(
        self, node: ast.expr, scope: NameScope, depth: int = _MAX_DEPTH
    ) -> Iterator[ScopedExpression]:
        """Yield the expressions that `node` may evaluate to: itself, or the values of names and fallbacks."""
        if depth == 0:
            return
        for inner, inner_scope in self._direct_values(node, scope):
            yield from self.possible_values(inner, inner_scope, depth - 1)
        if isinstance(node, ast.Constant | ast.JoinedStr):
            yield node, scope

    def _direct_values(self, node: ast.expr, scope: NameScope) -> Iterator[ScopedExpression]:
        if isinstance(node, ast.Name):
            yield from self._name_values(node.id, scope)
        elif isinstance(node, ast.Attribute):
            class_scope = _enclosing_class(scope)
            if (
                class_scope is not None
                and isinstance(node.value, ast.Name)
                and node.value.id in ("self", "cls")
            ):
                yield from self._attributes.get((class_scope, node.attr), ())
                yield from self._names.get((class_scope, node.attr), ())
        elif isinstance(node, ast.Call):
            default = _fallback_value(node, scope)
            if default is not None:
                yield default, scope
        elif isinstance(node, ast.BoolOp):
            yield from ((value, scope) for value in node.values)
        elif isinstance(node, ast.IfExp):
            yield from ((value, scope) for value in (node.body, node.orelse))

    def _name_values(self, name: str, scope: NameScope) -> Iterator[ScopedExpression]:
        owner = scope.owner_of(name)
        if owner is None:
            return
        yield from self._names.get((owner, name), ())
        if isinstance(owner.node, FunctionNode) and owner.parent is not None:
            for parameter, default in iter_parameter_defaults(owner.node.args):
                if parameter == name:
                    yield default, owner.parent

    def _add_assignment(self, target: ast.expr, value: ast.expr, scope: NameScope) -> None:
        if isinstance(target, ast.Name):
            owner = scope.owner_of(target.id) or scope
            self._names.setdefault((owner, target.id), []).append((value, scope))
        elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            class_scope = _enclosing_class(scope)
            if class_scope is not None and target.value.id in ("self", "cls"):
                self._attributes.setdefault((class_scope, target.attr), []).append((value, scope))


def _enclosing_class(scope: NameScope) -> NameScope | None:
    found: NameScope | None = scope
    while found is not None and found.kind != "class":
        found = found.parent
    return found


def _fallback_value(call: ast.Call, scope: NameScope) -> ast.expr | None:
    """Return the default of a lookup call: `os.getenv(name, this)`, `table.get(key, this)`."""
    read = find_environment_read(call, scope)
    if read is not None:
        return read.default
    is_lookup = last_name(call.func) == "get" and len(call.args) == 2
    return call.args[1] if is_lookup else None
