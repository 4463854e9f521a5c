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

from argosy.engine.order import Order, receive_order, send_order
from argosy.engine.parentdeath import fork_dependent, outlive_parent
from argosy.engine.process import read_stat


class Spare(NamedTuple):
    """The zygote's hold of it."""

    pid: int
    channel: socket.socket

    @property
    def number(self) -> int:
        """The descriptor by which the zygote holds it."""
        return self.channel.fileno()

    def is_stopped(self) -> bool:
        """Return whether somebody has stopped it: it would not take an order."""
        found = read_stat(self.pid)
        return found is not None and found.state in "Tt"

    def end(self) -> None:
        """End it."""
        os.kill(self.pid, signal.SIGKILL)
        self.channel.close()

    def hand(self, order: Order, output: int) -> None:
        """Let it go with this order; raises BrokenPipeError or ConnectionResetError: it has died."""
        send_order(self.channel, order, output)


def fork_spare() -> Spare | socket.socket | None:
    """Return it, in the child its end of the channel; None when there can be no more processes."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        pid = fork_dependent()
    except OSError:
        ours.close()
        its.close()
        return None
    if pid == 0:
        ours.close()
        return its
    its.close()
    return Spare(pid, ours)


def await_order(channel: socket.socket) -> tuple[Order, int] | None:
    """In the child: return the order that it is handed and its output, None when there will be none."""
    received = receive_order(channel)
    if received is None:
        return None
    outlive_parent()  # from now on it is an agent, which outlives its zygote
    order, output, _ = received
    return order, output
