"""The Unix socket for clients on the same machine, which find it beside the agent's ipc socket."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from functools import partial
from typing import Final

from argosy.fault import RefusedError
from argosy.wire.address_book import MAX_SOCKET_PATH_BYTES
from argosy.wire.server.outbox import Outbox
from argosy.wire.transport.incoming_message import RECEIVE_BUDGET
from argosy.wire.transport.reactor import Reactor, Timer
from argosy.wire.transport.unix_connection import READ_BYTES, UnixConnection
from argosy.wire.transport.zmq_connection import bind_fault

MAX_UNSENT_BYTES: Final = 16 * 1024 * 1024
LISTEN_BACKLOG: Final = 1024
ACCEPT_RETRY_S: Final = 0.1
BUDGET_RETRY_S: Final = 0.1
MAX_DRAIN_MESSAGES: Final = (
    128  # in one tick, so that a flood of messages does not starve handlers and timers
)


class UnixListener:
    """A listening Unix socket, mode 0600, and the connections accepted on it.

    on_message: called with each message and its connection. on_closed: called when a connection ended.
    outbox: sends the replies that `on_message` makes at once, after the connection was read.
    Raises RefusedError: the socket cannot be bound.
    """

    def __init__(
        self,
        name: str,
        path: str,
        reactor: Reactor,
        outbox: Outbox,
        on_message: Callable[[UnixConnection, list[memoryview]], object],
        on_closed: Callable[[UnixConnection], object],
    ) -> None:
        self._path = path
        self._reactor = reactor
        self._outbox = outbox
        self._on_message = on_message
        self._on_closed = on_closed
        self._connections: set[UnixConnection] = set()
        self._unfinished: set[UnixConnection] = set()
        self._unfinished_timer: Timer | None = None
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            _unlink_socket(path)
            self._listener.bind(path)
            os.chmod(path, 0o600)
            self._inode = os.stat(path).st_ino
        except OSError as error:
            self._listener.close()
            raise RefusedError(bind_fault(name, path, error)) from error
        self._listener.listen(LISTEN_BACKLOG)
        self._listener.setblocking(False)
        self._start_accepting()

    def drop(self, connection: UnixConnection) -> None:
        """Close a connection that has ended or is unusable."""
        if connection in self._connections:
            self._connections.discard(connection)
            self._unfinished.discard(connection)
            connection.close()
            self._on_closed(connection)

    def close(self) -> None:
        """Stop listening, close the connections, and unlink the path unless another process has bound it."""
        self._reactor.remove_reader(self._listener.fileno())
        self._listener.close()
        if self._unfinished_timer:
            self._unfinished_timer.cancel()
        for connection in self._connections:
            connection.close(linger=True)
        self._connections.clear()
        try:
            if os.stat(self._path).st_ino == self._inode:
                os.unlink(self._path)
        except FileNotFoundError:
            return

    def _start_accepting(self) -> None:
        self._reactor.add_reader(self._listener.fileno(), self._on_acceptable)

    def _on_acceptable(self) -> None:
        while True:
            try:
                stream, _ = self._listener.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue
            except OSError:  # no free descriptor: clients wait in the backlog meanwhile
                self._reactor.remove_reader(self._listener.fileno())
                self._reactor.call_later(ACCEPT_RETRY_S, self._resume_accepting)
                return
            # Unverified: until it has been welcomed, it may send nothing but a HELLO.
            connection = UnixConnection(
                stream,
                self._reactor,
                max_unsent_bytes=MAX_UNSENT_BYTES,
                max_message_bytes=READ_BYTES,
                budget=RECEIVE_BUDGET,
            )
            self._connections.add(connection)
            self._watch_connection(connection)

    def _watch_connection(self, connection: UnixConnection) -> None:
        self._reactor.add_reader(connection.fd, partial(self._on_readable, connection, is_readable=True))

    def _resume_accepting(self) -> None:
        if self._listener.fileno() >= 0:
            self._start_accepting()

    def _on_readable(self, connection: UnixConnection, *, is_readable: bool = False) -> None:
        """Read what is there, send the replies made at once, then check whether the connection has ended."""
        if connection not in self._connections:  # it may have been dropped within this tick
            return
        is_held = self._outbox.hold()
        try:
            is_more = self._receive_batch(connection, is_readable)
        finally:
            if is_held and self._outbox.release():
                self._outbox.poll_router_soon()
        if is_more:
            self._reactor.call_soon(partial(self._on_readable, connection))
        elif connection.end_reason():
            self.drop(connection)
        elif connection.is_unfinished:
            self._track_unfinished(connection)
        else:
            self._unfinished.discard(connection)

    def _track_unfinished(self, connection: UnixConnection) -> None:
        """Check the connection again soon, even if nothing arrives; it is not read while memory is short."""
        if connection.is_waiting_for_budget:
            self._reactor.remove_reader(connection.fd)
        self._unfinished.add(connection)
        if not self._unfinished_timer:
            self._unfinished_timer = self._reactor.call_later(BUDGET_RETRY_S, self._on_unfinished)

    def _on_unfinished(self) -> None:
        """Retry connections that wait for memory, and close those that hold memory and send nothing."""
        self._unfinished_timer = None
        for connection in tuple(self._unfinished):
            if connection.is_waiting_for_budget:
                self._watch_connection(connection)
                self._on_readable(connection, is_readable=True)
            elif connection.is_stalled and RECEIVE_BUDGET.is_exhausted:
                self.drop(connection)
        if self._unfinished and not self._unfinished_timer:
            self._unfinished_timer = self._reactor.call_later(BUDGET_RETRY_S, self._on_unfinished)

    def _receive_batch(self, connection: UnixConnection, is_readable: bool) -> bool:
        """Read messages; return whether it stopped before the last."""
        for _ in range(MAX_DRAIN_MESSAGES):
            message = connection.receive(is_readable=is_readable)
            if message is None:
                return False
            is_readable = False
            self._on_message(connection, message)
        return True


def unix_listener_path(endpoint: str) -> str | None:
    """Return the path of the listener beside an ipc endpoint; None for others or too long a path."""
    if not endpoint.startswith("ipc:///"):
        return None
    path = f"{endpoint[6:]}.u"
    return path if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES else None


def connect_unix(endpoint: str, reactor: Reactor) -> UnixConnection | None:
    """Return a connection to the Unix listener beside an ipc endpoint, None where nobody listens."""
    path = unix_listener_path(endpoint)
    if not path:
        return None
    try:
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError:  # no free descriptor; the ipc connection reports it
        return None
    try:
        stream.connect(path)
    except OSError:
        stream.close()
        return None
    return UnixConnection(stream, reactor, endpoint)


def _unlink_socket(path: str) -> None:
    try:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)
    except FileNotFoundError:
        return
