"""The callers that an agent knows, and how it learns that one has gone.

A caller is known from its HELLO until its link ends or, through the ROUTER, until a send to it
fails, which is there the only sign that it has gone. The beat is such a send for callers with
something in flight; others are asked once in a long while, so that the table cannot grow and an
idle lane never fills.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

from argosy.wire.protocol.frame import BytesLike, now_us

if TYPE_CHECKING:
    from argosy.wire.server.incoming_request import ClientKey, ConnectedClient, MsgpackRequest
    from argosy.wire.transport.reactor import Reactor, Timer

HEARTBEAT_S: Final = 0.5
IDLE_PROBE_S: Final = 300.0


class ClientTable:
    """The table of callers; `known` is for reading.

    make_beat(oldest_s): encodes a beat; oldest_s is how long the caller's oldest request has been here.
    on_forgotten(inquiries): told what was being done for a caller that is forgotten.
    on_sent(): called after beats were sent.
    """

    def __init__(
        self,
        reactor: Reactor,
        encode_heartbeat: Callable[[float], BytesLike],
        on_removed: Callable[[Collection[MsgpackRequest]], object],
        on_sent: Callable[[], object],
    ) -> None:
        self.clients: dict[ClientKey, ConnectedClient] = {}
        self._reactor = reactor
        self._encode_heartbeat, self._on_removed, self._on_sent = encode_heartbeat, on_removed, on_sent
        self._busy: dict[ClientKey, ConnectedClient] = {}
        self._heartbeat_timer: Timer | None = None
        self._next_probe_s = time.monotonic() + IDLE_PROBE_S

    def add(self, client: ConnectedClient) -> None:
        """Know this one from now on."""
        self.clients[client.key] = client

    def start_heartbeat(self, client: ConnectedClient) -> None:
        """Tell it regularly that the work loop turns, for as long as it has something in flight.

        What was cancelled is followed by one beat more: each request gets a sign of life.
        """
        self._busy[client.key] = client
        if not self._heartbeat_timer:
            self._heartbeat_timer = self._reactor.call_later(HEARTBEAT_S, self._on_heartbeat)

    def remove(self, client: ConnectedClient) -> None:
        """Drop one that has gone, and what is being done for it."""
        self.clients.pop(client.key, None)
        self._busy.pop(client.key, None)
        client.pending_records, client.unsent_messages = [], []
        requests, client.requests = client.requests, {}
        self._on_removed(requests.values())

    def probe_idle(self) -> None:
        """Find those that went without a word, when it is time; so seldom that an idle lane never fills."""
        now_s = time.monotonic()
        if now_s < self._next_probe_s:
            return
        self._next_probe_s = now_s + IDLE_PROBE_S
        for client in list(self.clients.values()):
            is_idle = not client.requests and now_s - client.last_received_s > IDLE_PROBE_S
            if is_idle and self._send_heartbeat(client) is False:
                self.remove(client)

    def close(self) -> None:
        """Beat no more."""
        if self._heartbeat_timer:
            self._heartbeat_timer.cancel()

    def _on_heartbeat(self) -> None:
        self._heartbeat_timer = None
        for key, client in list(self._busy.items()):
            if not client.requests and not client.owes_heartbeat:
                del self._busy[key]
            elif (
                not client.unsent_messages and self._send_heartbeat(client) is False
            ):  # with messages due it is full
                self.remove(client)
        if self._busy:
            self._heartbeat_timer = self._reactor.call_later(HEARTBEAT_S, self._on_heartbeat)
        self._on_sent()

    def _send_heartbeat(self, client: ConnectedClient) -> bool | None:
        received_us = min((i.received_us for i in client.requests.values()), default=0)
        oldest_request_s = (now_us() - received_us) / 1e6 if received_us else 0.0
        client.owes_heartbeat = False
        return client.path.send(self._encode_heartbeat(oldest_request_s))
