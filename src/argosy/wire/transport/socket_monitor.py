"""A socket's monitor: what happens to its connections, told by ZeroMQ on a socket beside it."""

from __future__ import annotations

import itertools
import struct
from typing import Any, Final

import zmq
from zmq.backend import Socket as Plain

from argosy.wire.zmq_context.context_handle import shared_context

# Plain ints: pyzmq turns an enum into one at every call.
_EVENTS: Final = int(zmq.EVENTS)
_POLLIN: Final = int(zmq.POLLIN)
_NOBLOCK: Final = int(zmq.NOBLOCK)

_read_event = struct.Struct("=HI").unpack
_numbers = itertools.count(1)


def has_input(socket: Plain) -> bool:
    """Tell whether a message can be received now."""
    events: Any = socket.get(_EVENTS)
    return bool(events & _POLLIN)


class SocketMonitor:
    """The events of one socket of the process's context, from now on.

    events: the sum of those that are wanted. Read to the end each time `fd` is readable: it tells
    of changes since the last look only.
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
        """Watch no more; to be called before the watched socket is closed."""
        if not self._watched.closed:  # at the end of the interpreter its finalizer may have come first
            self._watched.monitor(None, 0)
        self.socket.close(0)
