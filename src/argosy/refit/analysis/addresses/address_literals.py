"""Finds the literal addresses that an expression may evaluate to."""

from __future__ import annotations

import ast
import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import msgspec

from argosy.fleet.hosts import is_loopback, is_wildcard
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


# -- text of addresses -------------------------------------------------------------------------------


AddressKind = Literal["machine", "loopback", "wildcard"]

_DOTTED_DIGITS = re.compile(rb"\.(?<=\d\.)\d{1,3}\.\d{1,3}\.\d")
_HOST = r"\d{1,3}(?:\.\d{1,3}){3}|localhost|\*|\[[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*\]"
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?:[^@/\s\"']*@)?")
# `{…}` is a placeholder: a port that is filled in later.
_PORT_SUFFIX = r"(?::(?P<port>\d{1,5}|[{$%<][^\s/\"']*)?)?(?=$|[/?#;,\s])"
_WHOLE = re.compile(rf"(?P<host>{_HOST}){_PORT_SUFFIX}", re.IGNORECASE)
_WITHIN_TEXT = re.compile(
    rf"(?:(?<![\w./@-])|(?<=:-))(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?:[^@/\s\"']*@)?)?(?P<host>{_HOST})"
    rf"(?::(?P<port>\d{{1,5}}|[{{$%<][^\s/\"']*))?(?![\w.]*[\w]|/\d)",
    re.IGNORECASE,
)
# Public resolvers, and targets that a UDP socket connects to only to find out its own address.
_PUBLIC_RESOLVERS = frozenset({"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "10.255.255.255"})
_DOCUMENTATION = tuple(
    ipaddress.ip_network(text)
    for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)


class LiteralAddress(msgspec.Struct, frozen=True):
    """A literal address in a string.

    host: as written, without brackets. kind: machine, loopback or wildcard. port: None if absent or not
    literal.
    scheme: `tcp` of `tcp://`, or empty. start: the offset of `host` in the string.
    """

    host: str
    kind: AddressKind
    port: int | None
    scheme: str
    start: int


def can_hold_address(data: bytes) -> bool:
    """Return whether any string in `data` may be an address; a quick test."""
    folded = data.lower()
    words = (b"localhost", b"tcp://", b"::1")
    return any(word in folded for word in words) or _DOTTED_DIGITS.search(data) is not None


def parse_address_text(text: str) -> LiteralAddress | None:
    """Return the address that a whole string is (`host`, `host:port`, `scheme://host…`), else None."""
    if len(text) > 300:
        return None
    head = _SCHEME.match(text)
    start = head.end() if head else 0
    match = _WHOLE.match(text, start)
    if match is None or (head is None and match.end() != len(text)):
        return _parse_bare_ipv6(text)
    scheme = head["scheme"].lower() if head else ""
    if match["host"] == "*" and not scheme:
        return None
    return _address_from_match(match, scheme)


def find_addresses(text: str) -> Iterator[LiteralAddress]:
    """Yield the addresses within a string of many words; a lone `*` is not one."""
    for match in _WITHIN_TEXT.finditer(text):
        scheme = (match["scheme"] or "").lower()
        if match["host"] == "*" and not scheme:
            continue
        found = _address_from_match(match, scheme)
        if found is not None and not _is_image_tag(text, match, found):
            yield found


def address_kind(host: str) -> AddressKind | None:
    """Return the kind of an address; None for a subnet, broadcast, multicast or documentation address."""
    if is_wildcard(host):
        return "wildcard" if len(host) > 1 or host == "*" else None
    if is_loopback(host.lower()):
        return "loopback"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    last = host.rpartition(".")[2]
    is_no_host = (
        address.is_multicast or address.is_link_local or address.is_reserved or address.is_unspecified
    )
    if is_no_host or host in _PUBLIC_RESOLVERS or (address.version == 4 and last in ("0", "255")):
        return None
    if any(address.version == block.version and address in block for block in _DOCUMENTATION):
        return None
    return "machine"


def _is_image_tag(text: str, match: re.Match[str], found: LiteralAddress) -> bool:
    """Return whether this is an image's version (`app:1.10.0.1`); `pc2:192.168.1.2` is a host's entry."""
    is_joined = match.start() > 0 and text[match.start() - 1] == ":"
    return is_joined and found.kind == "machine" and not ipaddress.ip_address(found.host).is_private


def _address_from_match(match: re.Match[str], scheme: str) -> LiteralAddress | None:
    host = match["host"].strip("[]")
    kind = address_kind(host)
    port = match["port"]
    number = int(port) if port and port.isdecimal() else None
    if kind is None or (number is not None and not 0 < number < 65536):
        return None
    return LiteralAddress(host, kind, number, scheme, match.start("host"))


def _parse_bare_ipv6(text: str) -> LiteralAddress | None:
    if ":" not in text or not re.fullmatch(r"[0-9A-Fa-f:]{3,39}", text) or text.count(":") < 2:
        return None
    kind = address_kind(text)
    return LiteralAddress(text, kind, None, "", 0) if kind is not None else None
