"""Subscription to the publications of an agent on another machine.

On one machine a subscriber knows each agent's publishing socket by its path. On another machine it is
a port that the kernel assigned to the publisher, a new one in each incarnation, so the agent is asked for
it over a connection that is closed again. ZeroMQ's own reconnecting is disabled: another process may hold
the port by now. When the connection ends the agent is asked again, after 0.1 to 15 s; an agent that
publishes nothing to other machines is asked again after a minute.

Nothing is sent on an idle connection. The kernel's keep-alive, which wakes no process, detects
that the other machine is gone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
import zmq

from argosy.fault import ArgosyError
from argosy.wire.address_book import AddressResolver
from argosy.wire.client.channel import Channel
from argosy.wire.client.pending_call import EncodedReply
from argosy.wire.client.sync_peer import named_channel
from argosy.wire.pubsub.topic import TOPICS_PORT_METHOD
from argosy.wire.security.curve_keys import apply_keys
from argosy.wire.transport.reactor import Reactor, Timer
from argosy.wire.transport.socket_monitor import SocketMonitor
from argosy.wire.transport.zmq_connection import DAY_MS, receive_frames
from argosy.wire.zmq_context.context_handle import shared_context

LOOKUP_TIMEOUT_S: Final = 2.0
MIN_RETRY_S: Final = 0.1
MAX_RETRY_S: Final = 15.0
NO_PORT_RETRY_S: Final = 60.0  # for an agent that has no port
MAX_DRAIN_MESSAGES: Final = 128

# Seconds: a machine that is gone is detected 25 s after its last packet.
KEEPALIVE_IDLE_S: Final = 10
KEEPALIVE_INTERVAL_S: Final = 5
KEEPALIVE_COUNT: Final = 3

_CONNECTED_EVENTS: Final = int(zmq.EVENT_HANDSHAKE_SUCCEEDED)
_DISCONNECTED_EVENTS: Final = int(zmq.EVENT_DISCONNECTED | zmq.EVENT_CONNECT_RETRIED)


class _PortLookup:
    """The target of one request for a port; the reply is 0 if the agent publishes to this machine only."""

    def __init__(self, on_port: Callable[[int], object], on_failure: Callable[[], object]) -> None:
        self._on_port = on_port
        self._on_failure = on_failure
        self._is_done = False

    def done(self) -> bool:
        return self._is_done

    def set_result(self, reply: EncodedReply, /) -> None:
        self._is_done = True
        try:
            port = msgspec.msgpack.decode(reply[0], type=int)
        except msgspec.DecodeError:
            port = 0
        self._on_port(port)

    def set_exception(self, error: BaseException, /) -> None:
        # An agent of an earlier version has no such method; it is retried like an unreachable one.
        self._is_done = True
        self._on_failure()


class RemoteSubscription:
    """One agent's publications under some topics, through all of its incarnations.

    on_message: called with each message. client_name: the subscriber's name, for logs.
    """

    def __init__(
        self,
        name: str,
        resolver: AddressResolver,
        reactor: Reactor,
        topics: Iterable[str],
        on_message: Callable[[list[memoryview]], object],
        client_name: str = "",
    ) -> None:
        self._name = name
        self._resolver = resolver
        self._reactor = reactor
        self._topics = tuple(topics)
        self._on_message = on_message
        self._client_name = client_name
        self._channel: Channel | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: SocketMonitor | None = None
        self._timer: Timer | None = None
        self._retry_s = MIN_RETRY_S
        self._is_closed = False
        self.lookup_count = 0
        self._look_up_port()

    def close(self) -> None:
        """Close at once."""
        self._is_closed = True
        self._end_lookup()
        self._disconnect()
        if self._timer:
            self._timer.cancel()

    # -- the port -------------------------------------------------------------------------------

    def _look_up_port(self) -> None:
        self._timer = None
        self.lookup_count += 1
        self._channel = named_channel(self._name, self._resolver, self._reactor, self._client_name)
        # The channel is closed in the next tick: it is in the middle of a callback.
        lookup = _PortLookup(
            lambda port: self._reactor.call_soon(lambda: self._on_port(port)),
            lambda: self._reactor.call_soon(self._on_lookup_failed),
        )
        self._channel.submit(TOPICS_PORT_METHOD, {}, LOOKUP_TIMEOUT_S, lookup, "")

    def _end_lookup(self) -> None:
        channel, self._channel = self._channel, None
        if channel:
            channel.close()

    def _on_port(self, port: int) -> None:
        self._end_lookup()
        if self._is_closed:
            return
        if not port:
            self._schedule_lookup(NO_PORT_RETRY_S)
            return
        try:
            self._connect(port)
        except (ArgosyError, zmq.ZMQError):  # its entry or its key is missing; it may still appear
            self._disconnect()
            self._retry()

    def _on_lookup_failed(self) -> None:
        self._end_lookup()
        if not self._is_closed:
            self._retry()

    def _retry(self) -> None:
        """Look the port up after a delay, longer each time until a connection is made."""
        pause_s, self._retry_s = self._retry_s, min(MAX_RETRY_S, 2 * self._retry_s)
        self._schedule_lookup(pause_s)

    def _schedule_lookup(self, pause_s: float) -> None:
        # Jitter: the subscribers of one publisher lose it in the same instant.
        self._timer = self._reactor.call_later(pause_s * random.uniform(0.75, 1.0), self._look_up_port)

    # -- the connection -----------------------------------------------------------------------

    def _connect(self, port: int) -> None:
        endpoint = f"tcp://{self._resolver.address(self._name).host}:{port}"
        self._socket = socket = _make_subscriber()
        self._monitor = SocketMonitor(socket, _CONNECTED_EVENTS | _DISCONNECTED_EVENTS)
        apply_keys(self._resolver, self._name, socket, endpoint)
        for topic in self._topics:
            socket.setsockopt(zmq.SUBSCRIBE, topic.encode() + b"\0")
        socket.connect(endpoint)
        for fd, act in ((socket.fileno(), self._on_readable), (self._monitor.fd, self._on_monitor)):
            self._reactor.add_reader(fd, act)
            self._reactor.call_soon(act)  # a descriptor signals only changes since the last read

    def _disconnect(self) -> None:
        socket, monitor = self._socket, self._monitor
        self._socket = self._monitor = None
        if monitor:
            self._reactor.remove_reader(monitor.fd)
            monitor.close()
        if socket:
            self._reactor.remove_reader(socket.fileno())
            socket.close(0)

    def _on_readable(self) -> None:
        for _ in range(MAX_DRAIN_MESSAGES):
            message = receive_frames(self._socket) if self._socket else None
            if message is None:
                return
            self._on_message(message)
        self._reactor.call_soon(self._on_readable)

    def _on_monitor(self) -> None:
        while self._monitor and (event := self._monitor.read()):
            if event[0] == _CONNECTED_EVENTS:
                self._retry_s = MIN_RETRY_S
            else:
                self._on_readable()  # what arrived before the end
                self._disconnect()
                self._retry()


def _make_subscriber() -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = shared_context().socket(zmq.SUB)
    socket.linger = 0
    socket.reconnect_ivl = DAY_MS
    socket.tcp_keepalive = 1
    socket.tcp_keepalive_idle = KEEPALIVE_IDLE_S
    socket.tcp_keepalive_intvl = KEEPALIVE_INTERVAL_S
    socket.tcp_keepalive_cnt = KEEPALIVE_COUNT
    return socket
