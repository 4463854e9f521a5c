"""A small evaluator: what an expression over environment variables comes to.

It knows `or`, `and`, conditions, `in os.environ`, reads of variables, f-strings and the calls that a
rewrite puts in. A project's own reader (`get_env("NAME", default)`) is taken as one that returns
the variable or the default: what else it does, it does to both alike. Anything else is `Unknown`.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterator, Mapping

from argosy.refit.addresses.environment import environment_read
from argosy.refit.addresses.shapes import last_name, text_of
from argosy.source.scopes import Scope

Value = object
HOST = "argosy.fleet.whereabouts.host"
ENDPOINT = "argosy.fleet.whereabouts.endpoint"


class UnknownError(Exception):
    """An expression has a part that the evaluator does not know."""


class Profile:
    """An environment as the evaluator asks it: the hosts and endpoints of names."""

    def __init__(self, hosts: Mapping[str, str], endpoints: Mapping[str, str]) -> None:
        self.hosts = hosts
        self.endpoints = endpoints


def difference(old: ast.expr, new: ast.expr, scope: Scope, profile: Profile) -> str | None:
    """Return under which variables two expressions come to different values; None when they never do.

    Each variable that either reads is tried unset, empty and set.
    """
    names = sorted({*variables_of(old), *variables_of(new)})
    for states in itertools.product((None, "", "there.example"), repeat=len(names)):
        given = {name: state for name, state in zip(names, states, strict=True) if state is not None}
        try:
            was, now = (Evaluator(given, profile, scope).value(node) for node in (old, new))
        except UnknownError as error:
            return str(error)
        if was != now:
            shown = ", ".join(f"{name}={value!r}" for name, value in given.items()) or "nothing set"
            return f"with {shown} it was {was!r} and would be {now!r}"
    return None


def variables_of(node: ast.expr) -> Iterator[str]:
    """Yield the texts in an expression that may be the name of a variable."""
    for part in ast.walk(node):
        text = text_of(part) if isinstance(part, ast.Constant) else ""
        if text.isupper() and text.isidentifier():
            yield text


class Evaluator:
    """Evaluates under some variables. scope: where the expression stands, for what its names mean."""

    def __init__(self, given: Mapping[str, str], profile: Profile, scope: Scope) -> None:
        self.given = given
        self.profile = profile
        self.scope = scope

    def value(self, node: ast.expr) -> Value:
        """Return what `node` comes to. Raises UnknownError."""
        look = _LOOKS.get(type(node))
        if look is None:
            raise UnknownError(f"`{ast.unparse(node)}` is not known to the evaluator")
        return look(self, node)

    def constant(self, node: ast.Constant) -> Value:
        return node.value

    def either(self, node: ast.BoolOp) -> Value:
        found: Value = None
        for item in node.values:
            found = self.value(item)
            if bool(found) == isinstance(node.op, ast.Or):
                return found
        return found

    def condition(self, node: ast.IfExp) -> Value:
        return self.value(node.body if self.value(node.test) else node.orelse)

    def negation(self, node: ast.UnaryOp) -> Value:
        if not isinstance(node.op, ast.Not):
            raise UnknownError(f"`{ast.unparse(node)}` is not known to the evaluator")
        return not self.value(node.operand)

    def comparison(self, node: ast.Compare) -> Value:
        (operator, *more) = node.ops
        is_asked = last_name(node.comparators[0]) == "environ" and not more
        if not is_asked or not isinstance(operator, ast.In | ast.NotIn):
            raise UnknownError(f"`{ast.unparse(node)}` is not known to the evaluator")
        return (self.value(node.left) in self.given) == isinstance(operator, ast.In)

    def subscript(self, node: ast.Subscript) -> Value:
        if last_name(node.value) != "environ":
            raise UnknownError(f"`{ast.unparse(node)}` is not known to the evaluator")
        return self.given.get(str(self.value(node.slice)), KeyError)

    def joined(self, node: ast.JoinedStr) -> Value:
        parts: list[Value] = []
        for part in (self.value(item) for item in node.values):
            if isinstance(part, str) and parts and isinstance(parts[-1], str):
                parts[-1] += part
            else:
                parts.append(part)
        return parts[0] if len(parts) == 1 else tuple(parts)

    def formatted(self, node: ast.FormattedValue) -> Value:
        try:
            found = self.value(node.value)
        except UnknownError:
            found = None
        if isinstance(found, str) and node.conversion == -1 and node.format_spec is None:
            return found
        return ("shown", ast.dump(node), found)  # what is unknown is so on both sides

    def call(self, node: ast.Call) -> Value:
        written = ast.unparse(node.func)
        if written in (HOST, ENDPOINT):
            name, *variables = (str(self.value(argument)) for argument in node.args)
            found = next((self.given[each] for each in variables if each in self.given), None)
            table = self.profile.hosts if written == HOST else self.profile.endpoints
            return table[name] if found is None else found
        read = environment_read(node, self.scope)
        if read is None:
            raise UnknownError(f"`{written}` is no reader of variables that the evaluator knows")
        default = None if read.default is None else self.value(read.default)
        return self.given.get(read.variable, default)


_LOOKS: dict[type[ast.expr], Callable[[Evaluator, ast.expr], Value]] = {
    ast.Constant: Evaluator.constant,  # type: ignore[dict-item]
    ast.BoolOp: Evaluator.either,  # type: ignore[dict-item]
    ast.IfExp: Evaluator.condition,  # type: ignore[dict-item]
    ast.UnaryOp: Evaluator.negation,  # type: ignore[dict-item]
    ast.Compare: Evaluator.comparison,  # type: ignore[dict-item]
    ast.Subscript: Evaluator.subscript,  # type: ignore[dict-item]
    ast.JoinedStr: Evaluator.joined,  # type: ignore[dict-item]
    ast.FormattedValue: Evaluator.formatted,  # type: ignore[dict-item]
    ast.Call: Evaluator.call,  # type: ignore[dict-item]
}
