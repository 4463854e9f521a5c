"""Finds the type of a listening ZeroMQ socket from its greeting (ZMTP 3.0, NULL)."""

from __future__ import annotations

import re
import socket
from typing import Final

_WITHIN_S: Final = 2.0
_GREETING: Final = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_TYPE: Final = re.compile(rb"\x0bSocket-Type\0\0\0(.)", re.DOTALL)


def socket_type(port: int) -> str:
    """Return the type of the ZeroMQ socket that listens on a local port, in capitals.

    `no ZeroMQ` for another protocol, empty if nothing listens.
    """
    try:
        with socket.create_connection(("127.0.0.1", port), _WITHIN_S) as stream:
            stream.sendall(_GREETING)
            return _read(stream)
    except ConnectionRefusedError:
        return ""
    except OSError:
        return "no ZeroMQ"


def _read(stream: socket.socket) -> str:
    """Read until the peer has sent its type, which libzmq does without waiting for ours."""
    told = b""
    while True:
        if told and not b"\xff".startswith(told[:1]):
            return "no ZeroMQ"
        if (found := _TYPE.search(told)) and len(told) >= found.end() + found[1][0]:
            return told[found.end() : found.end() + found[1][0]].decode("ascii", "replace")
        more = stream.recv(512)
        if not more:
            return "no ZeroMQ"
        told += more
