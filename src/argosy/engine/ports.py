"""TCP ports: whether one is free to bind, and which process holds it.

A probe of a port proves nothing about the process that was just started; so a port is tried before
a start, and a listening socket is traced to its process through /proc before an answer from it
counts.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.process import all_pids, read_stat
from argosy.fleet.secret import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LISTEN = "0A"


class Holder(NamedTuple):
    """The process that listens on a port; pid 0 when this user may not see it."""

    port: int
    pid: int
    title: str

    def __str__(self) -> str:
        if not self.pid:
            return f"port {self.port} held by a process of another user"
        return f"port {self.port} held by pid {self.pid}" + (f" ({self.title})" if self.title else "")


def is_free(host: str, port: int) -> bool:
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


def obstacle(wanted: Iterable[tuple[str, int]], probed: int | None = None) -> str:
    """Return what is in the way of an agent's ports, empty when nothing is.

    wanted: (interface, port) pairs that it shall bind. probed: where its probe will knock: whoever
    listens there already is not the agent.
    """
    for host, port in wanted:
        try:
            if not is_free(host, port):
                return str(holder_of(port))
        except OSError as error:
            return f"port {port} cannot be bound on {host}: {error.strerror}"
    stale, _ = find_listener(probed, 0) if probed else (None, False)
    return str(stale) if stale else ""


def holder_of(port: int) -> Holder:
    """Return who listens on `port`."""
    inodes = set(_listening_inodes(port))
    for pid in _owners(inodes, all_pids()):
        return Holder(port, pid, _title(pid))
    return Holder(port, 0, "")


def find_listener(port: int, session: int) -> tuple[Holder | None, bool]:
    """Return who listens on `port` (None: nobody), and whether that is a process of `session`."""
    inodes = set(_listening_inodes(port))
    if not inodes:
        return None, False
    if any(True for _ in _owners(inodes, [session])):
        return Holder(port, session, ""), True  # the leader itself, the common case: one folder of /proc
    stranger = 0
    for pid in _owners(inodes, all_pids()):
        found = read_stat(pid)
        if found is not None and found.session == session:
            return Holder(port, pid, _title(pid)), True
        stranger = stranger or pid
    return Holder(port, stranger, _title(stranger) if stranger else ""), False


def _listening_inodes(port: int) -> Iterator[int]:
    return (inode for found, inode in _listening() if found == port)


def _listening() -> Iterator[tuple[int, int]]:
    """Yield (port, inode) of every listening TCP socket in this network namespace."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as file:
                next(file)
                for line in file:
                    fields = line.split()
                    if fields[3] == _LISTEN:
                        yield int(fields[1].rpartition(":")[2], 16), int(fields[9])
        except FileNotFoundError:
            continue


def _owners(inodes: set[int], pids: Iterable[int]) -> Iterator[int]:
    for pid in pids:
        if any(inode in inodes for inode in socket_inodes(pid)):
            yield pid


def socket_inodes(pid: int) -> Iterator[int]:
    """Yield the inodes of the sockets that a process has open, as far as this user may see."""
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(PermissionError, FileNotFoundError, ProcessLookupError):
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                target = os.readlink(f"{folder}/{name}")
                if target.startswith("socket:["):
                    yield int(target[8:-1])


def _title(pid: int) -> str:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        words = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
        return without_secrets(words)[:80]
    return ""
