"""Finds the user who owns the other end of a local connection.

`/proc/net/tcp` lists each connection with the uid of the socket's owner, so a hub can tell its own user's
programs from those of other users without credentials. It cannot see for which user a program
makes a request.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from pathlib import Path
from typing import Final

_PROC_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED: Final = "01"
SocketEndpoint = tuple[str, int]


def is_own_connection(client: SocketEndpoint, server: SocketEndpoint) -> bool:
    """Return whether this process's user owns the end `client` of a loopback connection to `server`.

    False if that cannot be determined.
    """
    try:
        ends = [(ipaddress.ip_address(host), port) for host, port in (client, server)]
    except ValueError:
        return False
    return (
        all(host.is_loopback for host, _ in ends)
        and _connection_uid(*map(_listed_addresses, ends)) == os.geteuid()
    )


def _connection_uid(local: set[str], remote: set[str]) -> int | None:
    """Return the uid of the connection with these ends."""
    for table in _PROC_TABLES:
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            # a closed connection has no owner and is listed with uid 0
            if fields[1] in local and fields[2] in remote and fields[3] == _ESTABLISHED and fields[9] != "0":
                return int(fields[7])
    return None


def _listed_addresses(end: tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]) -> set[str]:
    """Return the listed forms of an address; an IPv4 address may also be listed as IPv6-mapped."""
    host, port = end
    packed = [host.packed]
    if host.version == 4:
        packed.append(ipaddress.IPv6Address(f"::ffff:{host}").packed)
    elif host.ipv4_mapped:
        packed.append(host.ipv4_mapped.packed)
    return {f"{''.join(map(_format_word, _split_words(each)))}:{port:04X}" for each in packed}


def _split_words(packed: bytes) -> list[bytes]:
    return [packed[at : at + 4] for at in range(0, len(packed), 4)]


def _format_word(four: bytes) -> str:
    return f"{int.from_bytes(four, sys.byteorder):08X}"
