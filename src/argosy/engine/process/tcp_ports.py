"""TCP ports as the kernel tells of them: which are free to bind, which are listened on, by which sockets."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
from typing import TYPE_CHECKING, NamedTuple

from argosy.fleet.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Iterator

# proc_net_tcp(5): number, local and remote address, state (0A: listens), five figures, the inode.
_LISTENING = re.compile(
    rb"^ *\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:0000 0A(?: +\S+){5} +(\d+)", re.MULTILINE
)


class PortOwner(NamedTuple):
    """The process that listens on a port; pid 0 when this user may not see it.

    owner: the agent and the fleet that it belongs to, in words, where it is one of argosy's.
    """

    port: int
    pid: int
    title: str
    agent: str = ""

    def __str__(self) -> str:
        if not self.pid:
            return f"port {self.port} held by a process of another user"
        if self.agent:
            return f"port {self.port} held by pid {self.pid}, {self.agent}"
        return f"port {self.port} held by pid {self.pid}" + (f" ({self.title})" if self.title else "")


def is_port_free(host: str, port: int) -> bool:
    """Return whether `port` can be bound on the interface `host` now.

    Raises OSError: the interface itself is not there (EADDRNOTAVAIL) or the port is forbidden.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As libzmq does: a connection in TIME_WAIT does not count, a listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def has_no_listener(port: int) -> bool:
    """Return True where certainly nobody listens on `port`: it can be bound on all interfaces at once."""
    try:
        return is_port_free("::", port)  # where the machine has IPv6, that is those of IPv4 too
    except OSError:
        return False


def list_listening_sockets() -> list[tuple[int, int]]:
    """Return (port, inode) of every listening TCP socket in this network namespace."""
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError), open(table, "rb") as file:
            found += [(int(port, 16), int(inode)) for port, inode in _LISTENING.findall(file.read())]
    return found


def iter_open_sockets(pid: int) -> Iterator[tuple[str, int]]:
    """Yield path in /proc and inode of each socket that a process has open, as far as this user may see."""
    fd_dir = f"/proc/{pid}/fd"
    with contextlib.suppress(PermissionError, FileNotFoundError, ProcessLookupError):
        for name in os.listdir(fd_dir):
            path = f"{fd_dir}/{name}"
            inode = socket_inode_at(path)
            if inode is not None:
                yield path, inode


def socket_inode_at(path: str) -> int | None:
    """Return the inode of the socket that a descriptor of a process is, by its path in /proc."""
    try:
        target = os.readlink(path)
    except OSError:  # closed meanwhile, or not for this user
        return None
    return int(target[8:-1]) if target.startswith("socket:[") else None


def command_line_of(pid: int) -> str:
    """Return the command line of a process, secrets taken out; empty where it is not to be seen."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        command_line = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
        return redact_text(command_line)[:80]
    return ""
