"""Dials a peer: one connection at a time, monitored until it ends, redialled while it is wanted.

A refused dial is repeated after 10 ms to 1 s. A peer that accepts the connection and stays silent
causes no event, so its greeting has a time-out of its own; a peer that reports that it is starting
is waited for.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import zmq

from argosy.fault import ArgosyError
from argosy.wire.client.peer_health import PeerHealth
from argosy.wire.server.unix_listener import connect_unix
from argosy.wire.transport.reactor import Reactor, Timer
from argosy.wire.transport.unix_connection import UnixConnection
from argosy.wire.transport.zmq_connection import ApplyKeys, ZmqConnection

MIN_REDIAL_S: Final = 0.01
MAX_REDIAL_S: Final = 1.0
HELLO_TIMEOUT_S: Final = 2.0


class ConnectionOwner(Protocol):
    """The channel that uses the connections of a dialer."""

    def is_connection_wanted(self) -> bool: ...

    def encode_hello(self) -> bytes:
        """Return the first message of a new connection."""

    def read(self, *, is_readable: bool = False) -> None:
        """Read messages that may have arrived."""

    def on_connection_lost(self, reason: str) -> None:
        """Handle the end of the connection, and call `drop`."""


class Dialer:
    """The connection to one peer, or the dialling of the next one.

    get_endpoint: returns the endpoint at every dial. apply_keys: sets the keys of each new socket.
    peer_health: updated when the peer is unreachable.
    """

    def __init__(
        self,
        owner: ConnectionOwner,
        get_endpoint: Callable[[], str],
        apply_keys: ApplyKeys | None,
        reactor: Reactor,
        peer_health: PeerHealth,
    ) -> None:
        self.connection: ZmqConnection | UnixConnection | None = None
        self.failure_reason = "it was not dialled yet"
        self.dial_count = 0
        self._owner = owner
        self._on_readable = partial(owner.read, is_readable=True)
        self._get_endpoint = get_endpoint
        self._apply_keys = apply_keys
        self._reactor = reactor
        self._peer_health = peer_health
        self._redial_delay_s = 0.0
        self._redial_timer: Timer | None = None
        self._hello_timer: Timer | None = None

    def ensure_connection(self) -> None:
        """Dial, unless there is a connection or a dial is scheduled."""
        if not self.connection and not self._redial_timer:
            self._dial()

    def schedule_redial(self) -> None:
        """Schedule a dial with increasing delay, if a connection is wanted then."""
        self._peer_health.mark_lost()
        if self._redial_timer or not self._owner.is_connection_wanted():
            return
        delay_s = self._redial_delay_s * random.uniform(0.75, 1.0)
        self._redial_delay_s = min(MAX_REDIAL_S, 2 * self._redial_delay_s or MIN_REDIAL_S)
        self._redial_timer = self._reactor.call_later(delay_s, self._dial)

    def on_welcome(self) -> None:
        """The peer accepts calls."""
        self._cancel_hello_timer()
        self._redial_delay_s = 0.0

    def on_heartbeat(self) -> None:
        """The peer is alive; before its welcome this means that it is starting or stopping."""
        if self._hello_timer:
            self._cancel_hello_timer()
            is_stopping = self._peer_health.state == "stopping"
            self.failure_reason = "it is stopping" if is_stopping else "it is there and still starting"

    def drop(self, reason: str) -> None:
        """Close the connection, if there is one."""
        self.failure_reason = reason
        self._cancel_hello_timer()
        connection, self.connection = self.connection, None
        if connection:
            if isinstance(connection, ZmqConnection):
                self._reactor.remove_reader(connection.fd)
                self._reactor.remove_reader(connection.monitor_fd)
            connection.close()

    def close(self, reason: str) -> None:
        """Close the connection and stop dialling."""
        self.drop(reason)
        if self._redial_timer:
            self._redial_timer.cancel()
            self._redial_timer = None

    def _dial(self) -> None:
        self._redial_timer = None
        if not self._owner.is_connection_wanted():
            return
        try:
            endpoint = self._get_endpoint()
            self.connection = connection = connect_unix(endpoint, self._reactor) or ZmqConnection(
                endpoint, self._apply_keys
            )
        except (ArgosyError, zmq.ZMQError) as error:  # a key or an entry of the address book may still appear
            self.failure_reason = str(error).partition("\n")[0]
            self.schedule_redial()
            return
        self.dial_count += 1
        if self.dial_count == 1:  # later, the reason why the last connection ended is more useful
            self.failure_reason = f"`{connection.endpoint}` did not answer"
        self._hello_timer = self._reactor.call_later(HELLO_TIMEOUT_S, self._on_hello_timeout)
        if isinstance(connection, UnixConnection):
            self._reactor.add_reader(connection.fd, self._on_unix_readable)
            connection.send(self._owner.encode_hello())
            return
        self._reactor.add_reader(connection.fd, self._on_readable)
        self._reactor.add_reader(connection.monitor_fd, self._check_ended)
        connection.send(self._owner.encode_hello())
        # A descriptor signals only what arrives after its socket was found empty.
        self._reactor.call_soon(self._on_readable)
        self._reactor.call_soon(self._check_ended)

    def _on_unix_readable(self) -> None:
        """Read what arrived; the end of a Unix connection comes after it on the same descriptor."""
        self._on_readable()
        self._check_ended()

    def _check_ended(self) -> None:
        connection = self.connection
        reason = connection.end_reason() if connection else ""
        if reason and connection:
            self._owner.on_connection_lost(f"{reason} (`{connection.endpoint}`)")

    def _on_hello_timeout(self) -> None:
        self._owner.on_connection_lost("it accepts the connection and sends no greeting")

    def _cancel_hello_timer(self) -> None:
        if self._hello_timer:
            self._hello_timer.cancel()
            self._hello_timer = None
