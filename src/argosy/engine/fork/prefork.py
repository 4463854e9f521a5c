"""A child that a zygote forks before there is a request, so that a restart need not wait for a fork.

It has copied the pages that an agent writes to, and waits on a socket for its request. Until then it is
not reported, and it ends with its zygote.
"""

from __future__ import annotations

import os
import signal
import socket
from typing import NamedTuple

from argosy.engine.process.os_process import read_stat
from argosy.engine.process.parentdeath import fork_dependent, outlive_parent
from argosy.engine.protocol.fork_protocol import SpawnRequest, receive_spawn_request, send_spawn_request


class PreforkedChild(NamedTuple):
    """The zygote's handle of a preforked child."""

    pid: int
    channel: socket.socket

    @property
    def fd(self) -> int:
        """The descriptor of the channel."""
        return self.channel.fileno()

    def is_stopped(self) -> bool:
        """Return whether it is stopped by a signal and would not take a request."""
        found = read_stat(self.pid)
        return found is not None and found.state in "Tt"

    def kill(self) -> None:
        """Kill it and close the channel."""
        os.kill(self.pid, signal.SIGKILL)
        self.channel.close()

    def assign(self, spawn_request: SpawnRequest, output: int) -> None:
        """Send it its request; raises BrokenPipeError or ConnectionResetError: it has died."""
        send_spawn_request(self.channel, spawn_request, output)


def prefork() -> PreforkedChild | socket.socket | None:
    """Return the handle, or in the child its end of the channel; None if no process can be forked."""
    parent_end, child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        pid = fork_dependent()
    except OSError:
        parent_end.close()
        child_end.close()
        return None
    if pid == 0:
        parent_end.close()
        return child_end
    child_end.close()
    return PreforkedChild(pid, parent_end)


def await_request(channel: socket.socket) -> tuple[SpawnRequest, int] | None:
    """In the child: return the request and its output, None if the zygote has closed the channel."""
    received = receive_spawn_request(channel)
    if received is None:
        return None
    outlive_parent()  # it is an agent now, which outlives its zygote
    spawn_request, output, _ = received
    return spawn_request, output
