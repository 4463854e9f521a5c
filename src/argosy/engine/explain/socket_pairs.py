"""Finds which sockets of this machine are the two ends of one connection.

TCP sockets by /proc/net/tcp and tcp6. Unix sockets by sock_diag(7), since /proc/net/unix does not show the
peer: one netlink request, answered with each socket's inode, its peer's inode and its bound name.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST_AND_DUMP = 0x1 | 0x300
_SHOW_NAME_AND_PEER = 0x1 | 0x4
_ALL_STATES = 0xFFFFFFFF
_NO_COOKIE = 0xFFFFFFFF
_HEADER = struct.Struct("=IHHII")
_UNIX_REQUEST = struct.Struct("=BBHIIIII")
_UNIX_MESSAGE = struct.Struct("=BBBxIII")
_ATTRIBUTE = struct.Struct("=HH")
_DONE, _ERROR = 3, 2
_ATTRIBUTE_NAME, _ATTRIBUTE_PEER = 0, 2
_ESTABLISHED, _LISTEN = "01", "0A"

Address = tuple[str, int]


class UnixSocket(NamedTuple):
    """A unix socket. peer: the inode of the other end, 0 without one. name: its path, empty without one."""

    inode: int
    peer: int
    name: str


class TcpSocket(NamedTuple):
    """A TCP socket that listens or is connected."""

    inode: int
    local: Address
    remote: Address
    is_listening: bool


def list_unix_sockets() -> list[UnixSocket]:
    """Return the unix sockets of this network namespace.

    Raises OSError: the kernel does not answer sock_diag.
    """
    body = _UNIX_REQUEST.pack(
        socket.AF_UNIX, 0, 0, _ALL_STATES, 0, _SHOW_NAME_AND_PEER, _NO_COOKIE, _NO_COOKIE
    )
    header = _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _REQUEST_AND_DUMP, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as link:
        link.send(header + body)
        return list(_iter_replies(link))


def _iter_replies(link: socket.socket) -> Iterator[UnixSocket]:
    while True:
        data = link.recv(1 << 20)
        at = 0
        while at < len(data):
            length, kind, *_ = _HEADER.unpack_from(data, at)
            if kind == _DONE:
                return
            if kind == _ERROR:
                code = -struct.unpack_from("=i", data, at + _HEADER.size)[0]
                raise OSError(code, "the kernel refuses sock_diag for unix sockets")
            yield _parse_unix_socket(data[at + _HEADER.size : at + length])
            at += _align(length)


def _parse_unix_socket(message: bytes) -> UnixSocket:
    _, _, _, inode, _, _ = _UNIX_MESSAGE.unpack_from(message)
    peer, name = 0, ""
    at = _UNIX_MESSAGE.size
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        value = message[at + _ATTRIBUTE.size : at + length]
        if kind == _ATTRIBUTE_PEER:
            peer = struct.unpack("=I", value)[0]
        elif kind == _ATTRIBUTE_NAME:
            name = value.rstrip(b"\0").decode(errors="replace")
        at += max(_align(length), _ATTRIBUTE.size)
    return UnixSocket(inode, peer, name)


def _align(length: int) -> int:
    return (length + 3) & ~3


def iter_tcp_sockets() -> Iterator[TcpSocket]:
    """Yield the TCP sockets of this network namespace that listen or are connected."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as file:
                next(file)
                for line in file:
                    fields = line.split()
                    if fields[3] in (_ESTABLISHED, _LISTEN):
                        local, remote = _parse_address(fields[1]), _parse_address(fields[2])
                        yield TcpSocket(int(fields[9]), local, remote, fields[3] == _LISTEN)
        except FileNotFoundError:
            continue


def _parse_address(text: str) -> Address:
    """Return host and port of proc_net_tcp's hexadecimal; an IPv4-mapped address as IPv4."""
    host, _, port = text.partition(":")
    hex_words = [int(host[at : at + 8], 16) for at in range(0, len(host), 8)]
    packed = struct.pack(f"={len(hex_words)}I", *hex_words)
    if len(packed) == 16 and packed.startswith(b"\0" * 10 + b"\xff\xff"):
        packed = packed[12:]
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, packed), int(port, 16)
