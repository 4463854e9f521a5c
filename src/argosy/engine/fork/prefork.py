"""A child that a zygote forks ahead of its order, so that an agent that died need not wait for a fork.

It has copied the pages that an agent writes to, and waits at the end of a socket until it is handed an
order, as one that was forked for it waits for a byte. Until then nobody is told of it, and when the zygote
ends it ends too.
"""

from __future__ import annotations

import os
import signal
import socket
from typing import NamedTuple

from argosy.engine.fork.fork_protocol import SpawnRequest, receive_spawn_request, send_spawn_request
from argosy.engine.parentdeath import fork_dependent, outlive_parent
from argosy.engine.process.os_process import read_stat


class PreforkedChild(NamedTuple):
    """The zygote's hold of it."""

    pid: int
    channel: socket.socket

    @property
    def fd(self) -> int:
        """The descriptor by which the zygote holds it."""
        return self.channel.fileno()

    def is_stopped(self) -> bool:
        """Return whether somebody has stopped it: it would not take an order."""
        found = read_stat(self.pid)
        return found is not None and found.state in "Tt"

    def kill(self) -> None:
        """End it."""
        os.kill(self.pid, signal.SIGKILL)
        self.channel.close()

    def assign(self, spawn_request: SpawnRequest, output: int) -> None:
        """Let it go with this order; raises BrokenPipeError or ConnectionResetError: it has died."""
        send_spawn_request(self.channel, spawn_request, output)


def prefork() -> PreforkedChild | socket.socket | None:
    """Return it, in the child its end of the channel; None when there can be no more processes."""
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
    """In the child: return the order that it is handed and its output, None when there will be none."""
    received = receive_spawn_request(channel)
    if received is None:
        return None
    outlive_parent()  # from now on it is an agent, which outlives its zygote
    spawn_request, output, _ = received
    return spawn_request, output
