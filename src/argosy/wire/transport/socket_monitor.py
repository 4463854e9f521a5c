"""A socket's monitor: events of its connections, reported by ZeroMQ on a second socket."""

from __future__ import annotations

import itertools
import struct
from typing import Any, Final

import zmq
from zmq.backend import Socket as Plain

from argosy.wire.zmq_context.context_handle import shared_context

# Plain ints: pyzmq converts an enum at every call.
_EVENTS: Final = int(zmq.EVENTS)
_POLLIN: Final = int(zmq.POLLIN)
_NOBLOCK: Final = int(zmq.NOBLOCK)

_read_event = struct.Struct("=HI").unpack
_numbers = itertools.count(1)


def has_input(socket: Plain) -> bool:
    """Return whether a message can be received now."""
    events: Any = socket.get(_EVENTS)
    return bool(events & _POLLIN)


class SocketMonitor:
    """The events of one socket of the process's context, from now on.

    events: the sum of the wanted events. Read until empty each time `fd` is readable: it signals
    only changes since the last read.
    """

    def __init__(self, watched: zmq.Socket[Any], events: int) -> None:
        self._watched = watched
        endpoint = f"inproc://argosy.monitor.{next(_numbers)}"
        watched.monitor(endpoint, events)
        self.socket: zmq.Socket[bytes] = shared_context().socket(zmq.PAIR)
        self.socket.linger = 0
        self.socket.connect(endpoint)
        self.fd: int = self.socket.fileno()

    def read(self) -> tuple[int, int] | None:
        """Return the next (event, value), None when there is none; never blocks."""
        if not has_input(self.socket):
            return None
        event, value = _read_event(self.socket.recv(_NOBLOCK))
        self.socket.recv(_NOBLOCK)  # the endpoint
        return event, value

    def close(self) -> None:
        """Stop monitoring; to be called before the watched socket is closed."""
        if not self._watched.closed:  # at interpreter exit its finalizer may have run first
            self._watched.monitor(None, 0)
        self.socket.close(0)
