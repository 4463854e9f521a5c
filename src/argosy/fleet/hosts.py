"""Parses and classifies hosts and addresses given as text: wildcard, loopback, variable, local."""

from __future__ import annotations

import re
from typing import NamedTuple

LOOPBACK = "127.0.0.1"
WILDCARD = "0.0.0.0"
_WILDCARDS = frozenset({"*", "0.0.0.0", "::", "[::]", "0", ""})
_VARIABLE_PATTERN = r"\$(?:\{[A-Za-z_]\w*\}|[A-Za-z_]\w*)"
_HOST_PATTERN = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?|\*"
_ADDRESS_PATTERN = re.compile(
    rf"(?P<host>{_VARIABLE_PATTERN}|{_HOST_PATTERN}|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{{1,5}}|{_VARIABLE_PATTERN}))?"
)


class HostPort(NamedTuple):
    """An address as written; each part may be a `$VARIABLE`, and the port may be absent (empty)."""

    host: str
    port: str = ""


def parse_address(text: str) -> HostPort | None:
    """Return the parts of `host`, `host:port`, `[v6]:port`, a bare IPv6 address or `$VARIABLE`, else None."""
    if is_ip(text):
        return HostPort(text)
    match = _ADDRESS_PATTERN.fullmatch(text)
    if match is None:
        return None
    port = match["port"] or ""
    if port.isdigit() and parse_port(port) is None:
        return None
    return HostPort(match["host"].strip("[]"), port)


def parse_port(text: str) -> int | None:
    """Return a port from 1 to 65535, else None.

    Also accepts `tcp://10.0.0.1:6379`: Docker links and Kubernetes set NAME_PORT in that form.
    """
    digits = text.rpartition(":")[2] if text.startswith("tcp://") else text
    port = int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 5 else 0
    return port if 1 <= port <= 65535 else None


def referenced_variable(part: str) -> str | None:
    """Return the name in `$NAME` or `${NAME}`, else None."""
    return part[1:].strip("{}") if part.startswith("$") else None


def is_wildcard(host: str) -> bool:
    """Return whether `host` means every interface, so that no peer can connect to it."""
    return host in _WILDCARDS


def is_ip(host: str) -> bool:
    """Return whether `host` is a literal IPv4 or IPv6 address."""
    import socket  # noqa: PLC0415 - most audits never call this

    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return True
    return False


def is_loopback(host: str) -> bool:
    """Return whether `host` is this host by definition (127.0.0.0/8, ::1, localhost)."""
    return host in ("localhost", "::1") or (host.startswith("127.") and is_ip(host))


def is_local_host(host: str) -> bool:
    """Return whether `host` is an address of this machine: a UDP socket can be bound to it.

    Sends no packet, except that the system may resolve a name.
    """
    import socket  # noqa: PLC0415

    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return False
    return any(_can_bind(family, address) for family, _, _, _, address in found)


def _can_bind(family: int, address: object) -> bool:
    import socket  # noqa: PLC0415

    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind(address)  # type: ignore[arg-type]
    except OSError:
        return False
    return True
