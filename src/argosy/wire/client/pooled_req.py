"""Pooled requests to plain REP sockets: a connection is kept and reused by the next request.

Replaces code that makes a REQ socket, sends, receives and closes it for every request: by `send_request`,
or by `req_socket`, which returns an object used like that socket. The frames on the wire are the same, so
the peer needs no change. A connection belongs to one thread and one endpoint. It is discarded when a
request ends without its reply, so that a late reply reaches nobody, and when it disconnects while idle.
No request is sent twice.

ZeroMQ's own reconnecting is disabled: an idle connection to a peer that is gone would retry
indefinitely. A peer that is not up yet is redialled at ZeroMQ's interval; until a connection is
established, the request has not left.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from types import TracebackType
from typing import Any, Final

import zmq
import zmq.sugar.context
from zmq.utils import jsonapi

from argosy.wire.transport.socket_monitor import SocketMonitor, has_input
from argosy.wire.zmq_context.context_handle import ContextHandle, shared_context

MAX_IDLE: Final = 8  # idle connections per thread; the least recently used is closed
REDIAL_INTERVAL_MS: Final = 100  # ZeroMQ's own interval
DAY_MS: Final = 24 * 3600 * 1000

_CONNECTED_EVENTS: Final = int(zmq.EVENT_HANDSHAKE_SUCCEEDED)
_DISCONNECTED_EVENTS: Final = int(zmq.EVENT_DISCONNECTED | zmq.EVENT_CONNECT_RETRIED)
_RealContext: Final = zmq.sugar.context.Context
_OPTIONS: Final = {int(zmq.RCVTIMEO): "rcvtimeo", int(zmq.SNDTIMEO): "sndtimeo", int(zmq.LINGER): "linger"}
_thread_local = threading.local()


def send_request(endpoint: str, message: bytes, timeout_ms: int) -> bytes:
    """Send one message to a REP socket and return the first frame of its reply.

    timeout_ms: time limit for the reply in milliseconds, as RCVTIMEO.
    Raises zmq.Again: no reply in time; zmq.ZMQError: `endpoint` is invalid; ValueError: `timeout_ms` is
    negative.
    """
    if timeout_ms < 0:
        raise ValueError(f"`timeout_ms` is {timeout_ms}, expected 0 or more milliseconds")
    connection = _acquire(endpoint)
    try:
        connection.socket.send(message)
        reply = _receive_reply(connection, message, timeout_ms)
    except BaseException:
        connection.close()
        raise
    _release(connection)
    return reply


def send_json_request(endpoint: str, document: Any, timeout_ms: int) -> Any:
    """Send one JSON document and return the reply decoded, as `send_json` and `recv_json` do.

    Raises as `send_request`; TypeError: the document has no encoding; ValueError: the reply is not JSON.
    """
    return jsonapi.loads(send_request(endpoint, jsonapi.dumps(document), timeout_ms))


def req_socket(context: Any) -> Any:
    """Return an object used like `context.socket(zmq.REQ)` in a function that sends one request.

    context: a context handle or a plain context. Any other object, such as a test double or an asyncio
    context, makes its own socket.
    Raises zmq.ZMQError(ENOTSUP): the context is closed.
    """
    if isinstance(context, ContextHandle) or type(context) is _RealContext:
        if context.closed:
            raise zmq.ZMQError(zmq.ENOTSUP)
        return PooledReqSocket()
    return context.socket(zmq.REQ)


class PooledReqSocket:
    """A REQ socket limited to connect, send, receive and close.

    Behaves as a REQ socket: a reply before the next request (EFSM), `zmq.Again` after `rcvtimeo`
    milliseconds, no limit below 0. Supports only the time-outs and `linger` as options.
    """

    def __init__(self) -> None:
        self.rcvtimeo = self.sndtimeo = self.linger = -1
        self.closed = False
        self._connection: _PooledConnection | None = None
        self._endpoint = ""
        self._pending: bytes | None = None

    RCVTIMEO = property(lambda self: self.rcvtimeo, lambda self, value: setattr(self, "rcvtimeo", value))
    SNDTIMEO = property(lambda self: self.sndtimeo, lambda self, value: setattr(self, "sndtimeo", value))
    LINGER = property(lambda self: self.linger, lambda self, value: setattr(self, "linger", value))

    def setsockopt(self, option: int, value: int) -> None:
        """Set RCVTIMEO, SNDTIMEO or LINGER; raises zmq.ZMQError(EINVAL) for any other option."""
        name = _OPTIONS.get(int(option))
        if name is None:
            raise zmq.ZMQError(zmq.EINVAL)
        setattr(self, name, value)

    set = setsockopt

    def connect(self, endpoint: str) -> None:
        """Take a connection; raises zmq.ZMQError: the endpoint is invalid, or this socket is closed."""
        self._check_open()
        self._endpoint = endpoint
        self._connection = _acquire(endpoint)

    def send(self, message: bytes) -> None:
        """Send a request. Raises zmq.ZMQError(EFSM): a reply is outstanding, or nothing is connected."""
        self._check_open()
        if self._pending is not None or not self._endpoint:
            raise zmq.ZMQError(zmq.EFSM)
        self._connection = self._connection or _acquire(self._endpoint)
        self._connection.socket.send(message)
        self._pending = bytes(message)

    def recv(self) -> bytes:
        """Return the first frame of the reply.

        Raises zmq.Again: no reply in time; zmq.ZMQError(EFSM): no request is pending.
        """
        self._check_open()
        connection, pending = self._connection, self._pending
        if connection is None or pending is None:
            raise zmq.ZMQError(zmq.EFSM)
        reply = _receive_reply(connection, pending, None if self.rcvtimeo < 0 else self.rcvtimeo)
        self._pending = self._connection = None
        _release(connection)
        return reply

    def send_json(self, document: Any) -> None:
        """Send a JSON document."""
        self.send(jsonapi.dumps(document))

    def recv_json(self) -> Any:
        """Return the reply decoded from JSON; raises ValueError: it is not JSON."""
        return jsonapi.loads(self.recv())

    def send_string(self, text: str) -> None:
        """Send a text, in UTF-8."""
        if not isinstance(text, str):
            raise TypeError("str objects only")
        self.send(text.encode())

    def recv_string(self) -> str:
        """Return the reply as a text, in UTF-8."""
        return self.recv().decode()

    def close(self, linger: int | None = None) -> None:
        """Close. A connection with a reply outstanding is discarded, any other is kept."""
        connection, self._connection, self.closed = self._connection, None, True
        if connection and self._pending is None:
            _release(connection)
        elif connection:
            connection.close()

    def _check_open(self) -> None:
        if self.closed:
            raise zmq.ZMQError(zmq.ENOTSOCK)

    def __enter__(self) -> PooledReqSocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()


class _PooledConnection:
    """One REQ socket and the state of its connection; closed when its thread ends."""

    def __init__(self, endpoint: str) -> None:
        self.pid = 0  # until there is something to close
        self.endpoint = endpoint
        self._dial()
        self.pid = os.getpid()

    def _dial(self) -> None:
        self.is_open = self.is_disconnected = False
        self.socket, self._monitor = _open_socket(self.endpoint)

    def read_events(self) -> None:
        """Read the monitor events since the last call."""
        while event := self._monitor.read():
            self.is_open = self.is_open or event[0] == _CONNECTED_EVENTS
            self.is_disconnected = self.is_disconnected or bool(event[0] & _DISCONNECTED_EVENTS)

    def wait(self, timeout_ms: int) -> None:
        """Wait until a message or a monitor event arrives."""
        poller = zmq.Poller()
        poller.register(self.socket, zmq.POLLIN)
        poller.register(self._monitor.socket, zmq.POLLIN)
        poller.poll(timeout_ms)
        self.read_events()

    def redial(self) -> None:
        """Replace the socket by a new one."""
        self.close()
        self._dial()

    def close(self) -> None:
        """Close without linger."""
        if self.pid == os.getpid():
            self._monitor.close()
            self.socket.close(0)

    __del__ = close


def _open_socket(endpoint: str) -> tuple[zmq.Socket[bytes], SocketMonitor]:
    socket: zmq.Socket[bytes] = shared_context().socket(zmq.REQ)
    try:
        socket.linger = 0
        socket.reconnect_ivl = DAY_MS
        monitor = SocketMonitor(socket, _CONNECTED_EVENTS | _DISCONNECTED_EVENTS)
    except BaseException:
        socket.close(0)
        raise
    try:
        socket.connect(endpoint)
    except BaseException:
        monitor.close()
        socket.close(0)
        raise
    return socket, monitor


def _receive_reply(connection: _PooledConnection, message: bytes, timeout_ms: int | None) -> bytes:
    """Wait for the reply; while no connection was established, redial and send the same message again.

    timeout_ms: None for no limit.
    """
    deadline_s = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
    # An inproc connection has no events: only the reply itself ends the wait.
    while not (connection.is_open or has_input(connection.socket)) and (left_ms := _left_ms(deadline_s)):
        connection.wait(left_ms)
        if connection.is_disconnected and not connection.is_open:
            time.sleep(min(REDIAL_INTERVAL_MS, left_ms) / 1000)
            connection.redial()
            connection.socket.send(message)
    connection.socket.rcvtimeo = -1 if deadline_s is None else _left_ms(deadline_s)
    return connection.socket.recv_multipart()[0]


def _left_ms(deadline_s: float | None) -> int:
    if deadline_s is None:
        return DAY_MS
    # Rounded up: a wait of 0 ms just before the deadline would spin.
    return max(0, -int((time.monotonic() - deadline_s) * 1000 // 1))


def _idle_connections() -> dict[str, _PooledConnection]:
    """Return this thread's idle connections, the most recently used last."""
    connections: dict[str, _PooledConnection] = _thread_local.__dict__.setdefault("connections", {})
    return connections


def _acquire(endpoint: str) -> _PooledConnection:
    """Return a connection that nobody else uses, idle or new."""
    connection = _idle_connections().pop(endpoint, None)
    if connection and connection.pid == os.getpid():  # else it was inherited through a fork
        connection.read_events()
        if not connection.is_disconnected:
            return connection
        connection.close()
    return _PooledConnection(endpoint)


@atexit.register
def _close_all_idle() -> None:
    """Close this thread's connections: open sockets would delay the context's end at exit."""
    connections = _idle_connections()
    while connections:
        connections.popitem()[1].close()


def _release(connection: _PooledConnection) -> None:
    connections = _idle_connections()
    connections[connection.endpoint] = connection
    while len(connections) > MAX_IDLE:
        connections.pop(next(iter(connections))).close()
