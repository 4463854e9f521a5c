"""TCP ports as the kernel reports them: which can be bound, which have listeners, on which sockets."""

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

# proc_net_tcp(5): number, local and remote address, state (0A: listens), five fields, the inode.
_LISTENING = re.compile(
    rb"^ *\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:0000 0A(?: +\S+){5} +(\d+)", re.MULTILINE
)


class PortOwner(NamedTuple):
    """The process that listens on a port; the pid is 0 when this user may not see it.

    agent: a description of the agent and fleet that it belongs to, if it is one of argosy's.
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

    Raises OSError: the interface does not exist (EADDRNOTAVAIL) or the port is forbidden.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As libzmq does: a listener blocks the port, a connection in TIME_WAIT does not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def has_no_listener(port: int) -> bool:
    """Return True if certainly nobody listens on `port`: it can be bound on all interfaces at once."""
    try:
        return is_port_free("::", port)  # covers IPv4 where the machine has IPv6
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
    """Yield /proc path and inode of each open socket of a process, as far as this user may see."""
    fd_dir = f"/proc/{pid}/fd"
    with contextlib.suppress(PermissionError, FileNotFoundError, ProcessLookupError):
        for name in os.listdir(fd_dir):
            path = f"{fd_dir}/{name}"
            inode = socket_inode_at(path)
            if inode is not None:
                yield path, inode


def socket_inode_at(path: str) -> int | None:
    """Return the inode of the socket behind a descriptor, by its path in /proc; None for other files."""
    try:
        target = os.readlink(path)
    except OSError:  # closed meanwhile, or not readable by this user
        return None
    return int(target[8:-1]) if target.startswith("socket:[") else None


def command_line_of(pid: int) -> str:
    """Return the command line of a process with secrets redacted; empty if it is not readable."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        command_line = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
        return redact_text(command_line)[:80]
    return ""
