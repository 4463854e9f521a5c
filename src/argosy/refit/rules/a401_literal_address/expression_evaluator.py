"""Evaluates expressions over environment variables.

It supports `or`, `and`, conditional expressions, `in os.environ`, reads of variables, f-strings and the calls
that the codemod inserts. A project's own reader (`get_env("NAME", default)`) is assumed to return the
variable or the default: anything else that it does is the same for both expressions. Other expressions raise
`UnknownExpressionError`.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterator, Mapping

from argosy.refit.analysis.addresses.environment_reads import find_environment_read
from argosy.refit.analysis.ast_queries import last_name, string_literal
from argosy.source.name_scopes import NameScope

EvaluatedValue = object
RESOLVE_HOST = "argosy.api.host"
RESOLVE_ENDPOINT = "argosy.api.endpoint"
# The same functions by their other paths; those of `whereabouts` were written before.
_HOST_FUNCTIONS = frozenset((RESOLVE_HOST, "argosy.fleet.resolver.host", "argosy.fleet.whereabouts.host"))
_ENDPOINT_FUNCTIONS = frozenset(
    (RESOLVE_ENDPOINT, "argosy.fleet.resolver.endpoint", "argosy.fleet.whereabouts.endpoint")
)


class UnknownExpressionError(Exception):
    """An expression has a part that the evaluator does not support."""


class AddressProfile:
    """The hosts and endpoints of names in one environment of the fleet file."""

    def __init__(self, host_by_name: Mapping[str, str], endpoint_by_name: Mapping[str, str]) -> None:
        self.host_by_name = host_by_name
        self.endpoint_by_name = endpoint_by_name


def evaluation_difference(
    old: ast.expr, new: ast.expr, scope: NameScope, addresses: AddressProfile
) -> str | None:
    """Return for which variables two expressions evaluate to different values; None if for none.

    Each variable that either expression reads is tried unset, empty and set.
    """
    names = sorted({*variables_of(old), *variables_of(new)})
    for states in itertools.product((None, "", "there.example"), repeat=len(names)):
        variables = {name: state for name, state in zip(names, states, strict=True) if state is not None}
        try:
            was, now = (
                ExpressionEvaluator(variables, addresses, scope).evaluate(node) for node in (old, new)
            )
        except UnknownExpressionError as error:
            return str(error)
        if was != now:
            shown = ", ".join(f"{name}={value!r}" for name, value in variables.items()) or "nothing set"
            return f"with {shown} it was {was!r} and would be {now!r}"
    return None


def variables_of(node: ast.expr) -> Iterator[str]:
    """Yield the string literals in an expression that may be names of variables."""
    for part in ast.walk(node):
        text = string_literal(part) if isinstance(part, ast.Constant) else ""
        if text.isupper() and text.isidentifier():
            yield text


class ExpressionEvaluator:
    """Evaluates expressions under given variables.

    scope: where the expressions stand, to resolve their names.
    """

    def __init__(self, variables: Mapping[str, str], addresses: AddressProfile, scope: NameScope) -> None:
        self.variables = variables
        self.addresses = addresses
        self.scope = scope

    def evaluate(self, node: ast.expr) -> EvaluatedValue:
        """Return the value of `node`. Raises UnknownExpressionError."""
        visit = _VISITORS.get(type(node))
        if visit is None:
            raise UnknownExpressionError(f"the evaluator does not support `{ast.unparse(node)}`")
        return visit(self, node)

    def constant(self, node: ast.Constant) -> EvaluatedValue:
        return node.value

    def either(self, node: ast.BoolOp) -> EvaluatedValue:
        found: EvaluatedValue = None
        for item in node.values:
            found = self.evaluate(item)
            if bool(found) == isinstance(node.op, ast.Or):
                return found
        return found

    def condition(self, node: ast.IfExp) -> EvaluatedValue:
        return self.evaluate(node.body if self.evaluate(node.test) else node.orelse)

    def negation(self, node: ast.UnaryOp) -> EvaluatedValue:
        if not isinstance(node.op, ast.Not):
            raise UnknownExpressionError(f"the evaluator does not support `{ast.unparse(node)}`")
        return not self.evaluate(node.operand)

    def comparison(self, node: ast.Compare) -> EvaluatedValue:
        (operator, *more) = node.ops
        is_environ = last_name(node.comparators[0]) == "environ" and not more
        if not is_environ or not isinstance(operator, ast.In | ast.NotIn):
            raise UnknownExpressionError(f"the evaluator does not support `{ast.unparse(node)}`")
        return (self.evaluate(node.left) in self.variables) == isinstance(operator, ast.In)

    def subscript(self, node: ast.Subscript) -> EvaluatedValue:
        if last_name(node.value) != "environ":
            raise UnknownExpressionError(f"the evaluator does not support `{ast.unparse(node)}`")
        return self.variables.get(str(self.evaluate(node.slice)), KeyError)

    def joined(self, node: ast.JoinedStr) -> EvaluatedValue:
        parts: list[EvaluatedValue] = []
        for part in (self.evaluate(item) for item in node.values):
            if isinstance(part, str) and parts and isinstance(parts[-1], str):
                parts[-1] += part
            else:
                parts.append(part)
        return parts[0] if len(parts) == 1 else tuple(parts)

    def formatted(self, node: ast.FormattedValue) -> EvaluatedValue:
        try:
            found = self.evaluate(node.value)
        except UnknownExpressionError:
            found = None
        if isinstance(found, str) and node.conversion == -1 and node.format_spec is None:
            return found
        return ("shown", ast.dump(node), found)  # an unsupported value is the same on both sides

    def call(self, node: ast.Call) -> EvaluatedValue:
        written = ast.unparse(node.func)
        if written in _HOST_FUNCTIONS or written in _ENDPOINT_FUNCTIONS:
            name, *variables = (str(self.evaluate(argument)) for argument in node.args)
            found = next((self.variables[each] for each in variables if each in self.variables), None)
            table = (
                self.addresses.host_by_name if written in _HOST_FUNCTIONS else self.addresses.endpoint_by_name
            )
            return table[name] if found is None else found
        read = find_environment_read(node, self.scope)
        if read is None:
            raise UnknownExpressionError(f"the evaluator does not support the function `{written}`")
        default = None if read.default is None else self.evaluate(read.default)
        return self.variables.get(read.variable, default)


_VISITORS: dict[type[ast.expr], Callable[[ExpressionEvaluator, ast.expr], EvaluatedValue]] = {
    ast.Constant: ExpressionEvaluator.constant,  # type: ignore[dict-item]
    ast.BoolOp: ExpressionEvaluator.either,  # type: ignore[dict-item]
    ast.IfExp: ExpressionEvaluator.condition,  # type: ignore[dict-item]
    ast.UnaryOp: ExpressionEvaluator.negation,  # type: ignore[dict-item]
    ast.Compare: ExpressionEvaluator.comparison,  # type: ignore[dict-item]
    ast.Subscript: ExpressionEvaluator.subscript,  # type: ignore[dict-item]
    ast.JoinedStr: ExpressionEvaluator.joined,  # type: ignore[dict-item]
    ast.FormattedValue: ExpressionEvaluator.formatted,  # type: ignore[dict-item]
    ast.Call: ExpressionEvaluator.call,  # type: ignore[dict-item]
}
