"""Finds the literal addresses that an expression may evaluate to."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from argosy.refit.analysis.addresses.address_text import LiteralAddress, parse_address_text
from argosy.refit.analysis.addresses.environment_reads import EnvironmentRead, find_environment_read
from argosy.refit.analysis.ast_queries import fstring_template, last_name, string_literal
from argosy.source.name_scopes import NameScope
from argosy.source.python_source import LineMarks, SourceText, find_marked_lines

_CANDIDATE_TEXT = re.compile(r"\d\.\d|localhost|//\*|//\[|::", re.IGNORECASE)
_CANDIDATE_BYTES = (
    re.compile(rb"\.(?<=\d\.)\d"),
    re.compile(b"localhost"),
    re.compile(rb"//[*\[]"),
    re.compile(b"::"),
)


def find_candidate_lines(source: SourceText) -> LineMarks:
    """Return the lines that can contain an address."""
    return find_marked_lines(source.data.lower(), *_CANDIDATE_BYTES)


class AddressLiteral(NamedTuple):
    """A literal within an expression.

    port: the literal port in it or next to it. environment_read: the variable that it is the fallback of;
    conditional: the whole `or` or `if` expression in this case.
    """

    node: ast.Constant | ast.JoinedStr
    address: LiteralAddress
    port: int | None
    environment_read: EnvironmentRead | None = None
    conditional: ast.expr | None = None


def find_address_literals(value: ast.expr | None, scope: NameScope) -> Iterator[AddressLiteral]:
    """Yield the addresses that an expression may evaluate to; results of calls are not followed."""
    handler = _HANDLERS.get(type(value))
    if handler is not None:
        yield from handler(value, scope)


def _in_constant(value: ast.Constant, scope: NameScope) -> Iterator[AddressLiteral]:
    if isinstance(value.value, str):
        yield from _parse_text(value, value.value)


def _in_fstring(value: ast.JoinedStr, scope: NameScope) -> Iterator[AddressLiteral]:
    yield from _parse_text(value, fstring_template(value))


def _parse_text(node: ast.Constant | ast.JoinedStr, text: str) -> Iterator[AddressLiteral]:
    address = parse_address_text(text) if _CANDIDATE_TEXT.search(text) else None
    if address is not None:
        yield AddressLiteral(node, address, address.port)


def _in_bool_op(value: ast.BoolOp, scope: NameScope) -> Iterator[AddressLiteral]:
    reads = filter(None, (_environment_read_of(item, scope) for item in value.values[:-1]))
    environment_read = next(reads, None) if isinstance(value.op, ast.Or) else None
    for item in value.values:
        yield from _in_branch(item, scope, environment_read, value)


def _in_conditional(value: ast.IfExp, scope: NameScope) -> Iterator[AddressLiteral]:
    environment_read = _environment_read_of(value.body, scope) or _environment_read_of(value.orelse, scope)
    yield from _in_branch(value.body, scope, environment_read, value)
    yield from _in_branch(value.orelse, scope, environment_read, value)


def _in_branch(
    item: ast.expr, scope: NameScope, environment_read: EnvironmentRead | None, conditional: ast.expr
) -> Iterator[AddressLiteral]:
    for leaf in find_address_literals(item, scope):
        yield (
            leaf._replace(environment_read=environment_read, conditional=conditional)
            if environment_read is not None
            else leaf
        )


def _in_sequence(value: ast.Tuple | ast.List, scope: NameScope) -> Iterator[AddressLiteral]:
    second = value.elts[1] if len(value.elts) == 2 else None
    port = second.value if isinstance(second, ast.Constant) and type(second.value) is int else None
    for item in value.elts:
        for leaf in find_address_literals(item, scope):
            yield leaf._replace(port=port) if leaf.port is None else leaf


def _in_sum(value: ast.BinOp, scope: NameScope) -> Iterator[AddressLiteral]:
    yield from find_address_literals(value.left, scope)


def _in_format_call(value: ast.Call, scope: NameScope) -> Iterator[AddressLiteral]:
    if isinstance(value.func, ast.Attribute) and value.func.attr == "format":
        yield from find_address_literals(value.func.value, scope)


def _environment_read_of(node: ast.expr, scope: NameScope) -> EnvironmentRead | None:
    """Return the environment variable that an expression reads: by a call, or by `os.environ["NAME"]`."""
    if isinstance(node, ast.Call):
        return find_environment_read(node, scope)
    if isinstance(node, ast.Subscript) and last_name(node.value) == "environ":
        variable = string_literal(node.slice)
        return EnvironmentRead(variable, None, node) if variable else None
    return None


_HANDLERS: dict[type, Callable[[Any, NameScope], Iterator[AddressLiteral]]] = {
    ast.Constant: _in_constant,
    ast.JoinedStr: _in_fstring,
    ast.BoolOp: _in_bool_op,
    ast.IfExp: _in_conditional,
    ast.Tuple: _in_sequence,
    ast.List: _in_sequence,
    ast.BinOp: _in_sum,
    ast.Call: _in_format_call,
}
