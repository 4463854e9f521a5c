"""Waiting until an endpoint that ZeroMQ has closed can be bound again.

`close()` is asynchronous: bind, close, bind on one port of a shared context failed 88 to 135
times of 200. There is no event for it, so the kernel is asked, at growing intervals.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable

FIRST_WAIT_S = 0.0005
MOST_WAIT_S = 0.02


def wait_free(endpoints: Iterable[str], limit_s: float = 1.0) -> bool:
    """Wait until every TCP endpoint can be bound again; tell whether it was so in time."""
    addresses = [a for e in endpoints if (a := _tcp_address(e))]

    def are_free() -> bool:
        addresses[:] = [a for a in addresses if not _is_free(*a)]
        return not addresses

    return wait_until(are_free, limit_s)


def wait_until(is_so: Callable[[], bool], limit_s: float = 1.0) -> bool:
    """Ask at growing intervals until it is so; tell whether it was in time."""
    until = time.monotonic() + limit_s
    pause_s = FIRST_WAIT_S
    while not is_so():
        if time.monotonic() >= until:
            return False
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, MOST_WAIT_S)
    return True


def _tcp_address(endpoint: str) -> tuple[str, int] | None:
    if not endpoint.startswith("tcp://"):
        return None
    host, _, port = endpoint[6:].rpartition(":")
    return host.strip("[]"), int(port)


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        # As libzmq does: without it, connections in TIME_WAIT would look like a holder.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
            trial.listen(1)
        except OSError:
            return False
    return True
