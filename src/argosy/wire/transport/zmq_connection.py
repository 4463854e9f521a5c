"""ZeroMQ's part of the transport: binding, monitoring, and the connections at both ends.

A client's connection is one DEALER, one connection, one incarnation of the peer. ZeroMQ never reconnects
it. By default it would deliver messages for a dead peer to the next incarnation; with RECONNECT_IVL=-1 or
IMMEDIATE=1 it would drop replies that have already arrived. So the interval is a day, and a monitor
reports the end of the connection.

A server reaches its clients through a ROUTER. ROUTER_MANDATORY makes two states visible at the identity
frame: a client that is gone is EHOSTUNREACH, one that does not read is EAGAIN.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Final

import zmq
from zmq.backend import Socket as Plain

from argosy.fault import Fault, RefusedError
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
        if buffers:
            _send_buffers(self.socket, buffers)
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


def _send_buffers(socket: Plain, buffers: Sequence[BytesLike]) -> None:
    """Send the rest of a message without a copy."""
    for buffer in buffers[:-1]:
        Plain.send(socket, buffer, _MORE, False)
    Plain.send(socket, buffers[-1], _NOBLOCK, False)


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


class RouterPath:
    """The path to the client that a ROUTER knows by an identity."""

    __slots__ = ("_identity", "_socket")

    def __init__(self, socket: Plain, identity: bytes) -> None:
        self._socket = socket
        self._identity = identity

    def send(self, body: BytesLike, buffers: Sequence[BytesLike] = ()) -> bool | None:
        """Send one message now: True, False when the receiver is gone, None when its queue is full."""
        try:
            Plain.send(self._socket, self._identity, _MORE)
        except zmq.Again:
            return None
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return False
            raise
        Plain.send(self._socket, body, _MORE if buffers else _NOBLOCK)
        if buffers:
            _send_buffers(self._socket, buffers)
        return True


def send_envelope(socket: Plain, envelope: Sequence[bytes], text: bytes) -> bool:
    """Send a JSON client's reply; False when the client is gone or does not read."""
    try:
        for part in envelope:
            Plain.send(socket, part, _MORE)
    except zmq.ZMQError as error:
        if error.errno in (zmq.EHOSTUNREACH, zmq.EAGAIN):
            return False
        raise
    Plain.send(socket, text, _NOBLOCK)
    return True


def bind_endpoint(socket: zmq.Socket[Any], name: str, endpoint: str) -> str:
    """Bind a socket of the agent `name`, and return the endpoint as it was bound.

    Makes the directory of an ipc socket. Raises RefusedError that names the endpoint that cannot be bound.
    """
    try:
        if endpoint.startswith("ipc://"):
            os.makedirs(os.path.dirname(endpoint[6:]), 0o700, exist_ok=True)
        socket.bind(endpoint)
    except (zmq.ZMQError, OSError) as error:
        raise RefusedError(bind_fault(name, endpoint, error)) from error
    last = socket.get(zmq.LAST_ENDPOINT)
    assert isinstance(last, bytes)
    return last.rstrip(b"\0").decode()


def bind_fault(name: str, endpoint: str, error: OSError | zmq.ZMQError) -> Fault:
    """Return the fault of an endpoint that could not be bound, with who may hold it."""
    reason = (error.strerror or str(error)).lower()
    if not endpoint.startswith("tcp://"):
        return Fault(name, "cannot-bind", f"`{name}` cannot bind `{endpoint}`: {reason}")
    host, _, port = endpoint[6:].rpartition(":")
    hint = f"`ss -ltnp 'sport = :{port}'` shows who holds it" if error.errno == zmq.EADDRINUSE else ""
    return Fault(name, "cannot-bind", f"`{name}` cannot bind port {port} on `{host}`: {reason}", hint)
