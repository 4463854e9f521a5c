"""The literal addresses that an expression may come to."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from argosy.refit.addresses.environment import Read, environment_read
from argosy.refit.addresses.shapes import joined_text, last_name, text_of
from argosy.refit.addresses.text import Address, read_address
from argosy.source.scopes import Scope
from argosy.source.text import Marks, Source, find_marks

_QUICK = re.compile(r"\d\.\d|localhost|//\*|//\[|::", re.IGNORECASE)
_MARKS = (re.compile(rb"\.(?<=\d\.)\d"), re.compile(b"localhost"), re.compile(rb"//[*\[]"), re.compile(b"::"))


def find_near(source: Source) -> Marks:
    """Return the lines that have what one must have for one of its texts to be an address."""
    return find_marks(source.data.lower(), *_MARKS)


class Leaf(NamedTuple):
    """A literal within an expression.

    port: the literal port in it or beside it. read: the variable that it stands in for, with `choice`, the
    whole `or` or `if`.
    """

    node: ast.Constant | ast.JoinedStr
    address: Address
    port: int | None
    read: Read | None = None
    choice: ast.expr | None = None


def leaves(value: ast.expr | None, scope: Scope) -> Iterator[Leaf]:
    """Yield the addresses that an expression may come to; what calls return is not followed."""
    look = _LOOKS.get(type(value))
    if look is not None:
        yield from look(value, scope)


def _constant(value: ast.Constant, scope: Scope) -> Iterator[Leaf]:
    if isinstance(value.value, str):
        yield from _read(value, value.value)


def _joined(value: ast.JoinedStr, scope: Scope) -> Iterator[Leaf]:
    yield from _read(value, joined_text(value))


def _read(node: ast.Constant | ast.JoinedStr, text: str) -> Iterator[Leaf]:
    address = read_address(text) if _QUICK.search(text) else None
    if address is not None:
        yield Leaf(node, address, address.port)


def _either(value: ast.BoolOp, scope: Scope) -> Iterator[Leaf]:
    reads = filter(None, (_read_of(item, scope) for item in value.values[:-1]))
    read = next(reads, None) if isinstance(value.op, ast.Or) else None
    for item in value.values:
        yield from _chosen(item, scope, read, value)


def _condition(value: ast.IfExp, scope: Scope) -> Iterator[Leaf]:
    read = _read_of(value.body, scope) or _read_of(value.orelse, scope)
    yield from _chosen(value.body, scope, read, value)
    yield from _chosen(value.orelse, scope, read, value)


def _chosen(item: ast.expr, scope: Scope, read: Read | None, choice: ast.expr) -> Iterator[Leaf]:
    for leaf in leaves(item, scope):
        yield leaf._replace(read=read, choice=choice) if read is not None else leaf


def _elements(value: ast.Tuple | ast.List, scope: Scope) -> Iterator[Leaf]:
    second = value.elts[1] if len(value.elts) == 2 else None
    port = second.value if isinstance(second, ast.Constant) and type(second.value) is int else None
    for item in value.elts:
        for leaf in leaves(item, scope):
            yield leaf._replace(port=port) if leaf.port is None else leaf


def _sum(value: ast.BinOp, scope: Scope) -> Iterator[Leaf]:
    yield from leaves(value.left, scope)


def _formatted(value: ast.Call, scope: Scope) -> Iterator[Leaf]:
    if isinstance(value.func, ast.Attribute) and value.func.attr == "format":
        yield from leaves(value.func.value, scope)


def _read_of(node: ast.expr, scope: Scope) -> Read | None:
    """Return what an expression reads of the environment: a call, or `os.environ["NAME"]`."""
    if isinstance(node, ast.Call):
        return environment_read(node, scope)
    if isinstance(node, ast.Subscript) and last_name(node.value) == "environ":
        variable = text_of(node.slice)
        return Read(variable, None, node) if variable else None
    return None


_LOOKS: dict[type, Callable[[Any, Scope], Iterator[Leaf]]] = {
    ast.Constant: _constant,
    ast.JoinedStr: _joined,
    ast.BoolOp: _either,
    ast.IfExp: _condition,
    ast.Tuple: _elements,
    ast.List: _elements,
    ast.BinOp: _sum,
    ast.Call: _formatted,
}
