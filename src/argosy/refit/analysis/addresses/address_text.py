"""Decides which strings are the address of a host, and which only look like one."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Literal

import msgspec

from argosy.fleet.hosts import is_loopback, is_wildcard

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
