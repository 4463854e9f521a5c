"""A ZeroMQ connection: one DEALER, one connection, one incarnation of the peer.

ZeroMQ never reconnects it. By default it would deliver messages for a dead peer to
the next incarnation; with RECONNECT_IVL=-1 or IMMEDIATE=1 it would drop replies that
have already arrived. So the interval is a day, and a monitor reports the end of the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import zmq
from zmq.backend import Socket as Plain

from argosy.wire.protocol.codec import MAX_MESSAGE_BYTES
from argosy.wire.protocol.frame import BytesLike
from argosy.wire.transport.socket_monitor import SocketMonitor, has_input
from argosy.wire.zmq_context.context_handle import shared_context

DAY_MS: Final = 24 * 3600 * 1000

# Plain ints: pyzmq converts an enum at every call.
_NOBLOCK: Final = int(zmq.NOBLOCK)
_MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)

# The reasons by monitor event; each ends the connection.
_END_REASONS: Final = {
    int(zmq.EVENT_DISCONNECTED): "its connection ended",
    int(zmq.EVENT_CONNECT_RETRIED): "nobody answers there",
    int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL): "its handshake failed",
    int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL): "it does not speak ZeroMQ",
    int(zmq.EVENT_HANDSHAKE_FAILED_AUTH): "it does not accept this machine's key",
}
_MISMATCH: Final = int(zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
_MONITORED: Final = sum(_END_REASONS)
_NO_EVENT: Final = (0, 0)

# Sets on a socket the keys that an endpoint requires, before it connects.
ApplyKeys = Callable[[zmq.Socket[bytes], str], None]


class ZmqConnection:
    """One connection to one incarnation; `receive` and `end_reason` never block.

    is_edge_triggered: its descriptor may not signal a message that is there; a check after each
    send finds it.

    Raises RefusedError: a required key is missing; zmq.ZMQError: the endpoint is invalid.
    """

    is_edge_triggered = True

    def __init__(self, endpoint: str, apply_keys: ApplyKeys | None = None) -> None:
        self.endpoint = endpoint
        self.socket = _make_dealer()
        self._monitor = SocketMonitor(self.socket, _MONITORED)
        try:
            if apply_keys:
                apply_keys(self.socket, endpoint)
            self.socket.connect(endpoint)
        except BaseException:
            self.close()
            raise
        self.fd: int = self.socket.fileno()
        self.monitor_fd: int = self._monitor.fd

    def send(self, body: BytesLike, buffers: Sequence[BytesLike] = ()) -> bool:
        """Queue one message; the queue itself is unbounded, its owner limits what is sent.

        Returns False when the connection has ended, which the monitor reports: nothing was sent.
        """
        try:
            Plain.send(self.socket, body, _MORE if buffers else _NOBLOCK)
        except zmq.Again:  # the queue no longer exists
            return False
        if not buffers:
            return True
        for buffer in buffers[:-1]:
            Plain.send(self.socket, buffer, _MORE, False)
        Plain.send(self.socket, buffers[-1], _NOBLOCK, False)
        return True

    def receive(self, *, is_readable: bool = False) -> list[memoryview] | None:
        """Return the frames of the next message, None when there is none; as `receive_frames`."""
        return receive_frames(self.socket, is_readable)

    def end_reason(self) -> str:
        """Return why the connection has ended, empty while it has not."""
        event, value = self._monitor.read() or _NO_EVENT
        if value == _MISMATCH:
            return "one side requires keys that the other does not have"
        return _END_REASONS.get(event, "")

    def close(self) -> None:
        """Close without linger; what is unsent is dropped."""
        self._monitor.close()
        self.socket.close(0)


def receive_frames(socket: Plain, is_readable: bool = False) -> list[memoryview] | None:
    """Return the frames of a socket's next message without a copy, None when there is none.

    Reading EVENTS costs half of a failed receive, and also makes ZeroMQ process its mailbox,
    which its edge-triggered descriptor needs.

    is_readable: its descriptor has just signalled, nearly always a message: EVENTS is not read.
    """
    if not (is_readable or has_input(socket)):
        return None
    try:
        frame = socket.recv(_NOBLOCK, False)
    except zmq.Again:
        return None
    frames = [frame.buffer]
    while frame.more:
        frame = socket.recv(_NOBLOCK, False)
        frames.append(frame.buffer)
    return frames


def _make_dealer() -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = shared_context().socket(zmq.DEALER)
    socket.linger = 0
    socket.sndhwm = 0
    socket.rcvhwm = 0
    socket.reconnect_ivl = DAY_MS
    socket.immediate = 0
    socket.maxmsgsize = MAX_MESSAGE_BYTES
    return socket
