"""The clients that an agent knows, and how it detects that one is gone.

A client is known from its HELLO until its Unix connection ends or, on the ROUTER, until a send to it
fails, which is the only sign there that it is gone. The heartbeat is such a send for clients with
requests in flight; idle clients are probed at a long interval, so that the table stays bounded and
an idle connection's queue never fills.
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
    """The table of clients; `clients` is for reading.

    encode_heartbeat(oldest_s): encodes a heartbeat; oldest_s is the age of the client's oldest request.
    on_removed(requests): called with the requests in flight of a client that is removed.
    on_sent(): called after heartbeats were sent.
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
        """Add a client."""
        self.clients[client.key] = client

    def start_heartbeat(self, client: ConnectedClient) -> None:
        """Send heartbeats to a client for as long as it has requests in flight.

        A cancelled request is followed by one more heartbeat: each request gets a reply or a heartbeat.
        """
        self._busy[client.key] = client
        if not self._heartbeat_timer:
            self._heartbeat_timer = self._reactor.call_later(HEARTBEAT_S, self._on_heartbeat)

    def remove(self, client: ConnectedClient) -> None:
        """Remove a client that is gone, and stop its requests."""
        self.clients.pop(client.key, None)
        self._busy.pop(client.key, None)
        client.pending_records, client.unsent_messages = [], []
        requests, client.requests = client.requests, {}
        self._on_removed(requests.values())

    def probe_idle(self) -> None:
        """Probe idle clients when it is time, to find those that disconnected without notice.

        The interval is so long that an idle connection's queue never fills.
        """
        now_s = time.monotonic()
        if now_s < self._next_probe_s:
            return
        self._next_probe_s = now_s + IDLE_PROBE_S
        for client in list(self.clients.values()):
            is_idle = not client.requests and now_s - client.last_received_s > IDLE_PROBE_S
            if is_idle and self._send_heartbeat(client) is False:
                self.remove(client)

    def close(self) -> None:
        """Stop the heartbeats."""
        if self._heartbeat_timer:
            self._heartbeat_timer.cancel()

    def _on_heartbeat(self) -> None:
        self._heartbeat_timer = None
        for key, client in list(self._busy.items()):
            if not client.requests and not client.owes_heartbeat:
                del self._busy[key]
            elif (
                not client.unsent_messages and self._send_heartbeat(client) is False
            ):  # with messages unsent its queue is full
                self.remove(client)
        if self._busy:
            self._heartbeat_timer = self._reactor.call_later(HEARTBEAT_S, self._on_heartbeat)
        self._on_sent()

    def _send_heartbeat(self, client: ConnectedClient) -> bool | None:
        received_us = min((i.received_us for i in client.requests.values()), default=0)
        oldest_request_s = (now_us() - received_us) / 1e6 if received_us else 0.0
        client.owes_heartbeat = False
        return client.path.send(self._encode_heartbeat(oldest_request_s))
