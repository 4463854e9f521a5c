"""Waits until an endpoint that ZeroMQ has closed can be bound again.

`close()` is asynchronous: bind, close, bind on one port of a shared context failed 88 to 135
times of 200. There is no event for it, so a bind is tried at growing intervals.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable

MIN_WAIT_S = 0.0005
MAX_WAIT_S = 0.02


def wait_until_free(endpoints: Iterable[str], limit_s: float = 1.0) -> bool:
    """Wait until every TCP or ipc endpoint can be bound again; return whether that was in time."""
    left = list(endpoints)

    def is_all_free() -> bool:
        left[:] = [each for each in left if not _is_free(each)]
        return not left

    return wait_until(is_all_free, limit_s)


def wait_until(condition: Callable[[], bool], limit_s: float = 1.0) -> bool:
    """Check a condition at growing intervals until it holds; return whether that was in time."""
    until = time.monotonic() + limit_s
    pause_s = MIN_WAIT_S
    while not condition():
        if time.monotonic() >= until:
            return False
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, MAX_WAIT_S)
    return True


def _is_free(endpoint: str) -> bool:
    if endpoint.startswith("tcp://"):
        host, _, port = endpoint[6:].rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return _can_bind(family, ("" if host == "*" else host, int(port)))
    if endpoint.startswith("ipc://@"):
        return _can_bind(socket.AF_UNIX, "\0" + endpoint[7:])
    return True  # binding a path replaces it, whoever had it


def _can_bind(family: int, address: tuple[str, int] | str) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        # As libzmq does: without it, connections in TIME_WAIT would look like a listener.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(address)
            trial.listen(1)
        except OSError:
            return False
    return True
