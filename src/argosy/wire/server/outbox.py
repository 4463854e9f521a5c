"""Outgoing messages of a server: the records of one tick in one message, and clients that are full or gone.

A client whose queue is full is retried by a timer, up to a limit; then it is removed, and gets
*stale* if it sends again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from argosy.wire.protocol import codec, frame
from argosy.wire.server.agent_status import AgentStatus
from argosy.wire.server.incoming_request import ClientKey, ConnectedClient
from argosy.wire.transport.reactor import Reactor, Timer

FULL_RETRY_S: Final = 0.01
FULL_LIMIT_S: Final = 5.0  # a client that reads nothing for this long is removed


class Outbox:
    """The sending side of one server.

    poll_router: called once after a tick's last send through the ROUTER, which may have hidden that
    a message arrived.
    on_gone: called with each client that became unreachable.
    """

    def __init__(
        self,
        status: AgentStatus,
        incarnation: int,
        reactor: Reactor,
        poll_router: Callable[[], object],
        on_gone: Callable[[ConnectedClient], object],
    ) -> None:
        self._status = status
        self._incarnation = incarnation
        self._reactor = reactor
        self._poll_router = poll_router
        self._on_gone = on_gone
        self._clients_to_flush: dict[ClientKey, ConnectedClient] = {}
        self._is_flush_due = False
        self._needs_poll = False
        self._retry_timer: Timer | None = None
        self._is_closed = False

    def put(self, client: ConnectedClient, record: bytes, buffers: Sequence[frame.BytesLike]) -> None:
        """Add a reply record to this tick's; one with buffers ends the message.

        A message as large as the client's own batch leaves at once: the client works on it meanwhile.
        """
        if buffers:
            self._seal_batch(client)
            message = codec.encode_batch(
                frame.REPLY, self._incarnation, [record], len(buffers), self._status.code
            )
            client.unsent_messages.append((message, buffers))
        else:
            records = client.pending_records
            records.append(record)
            count = len(records)
            if count >= client.batch_size:
                self._send_to(client)
                return
            if count > 1:  # the first record has scheduled the flush
                return
        self._clients_to_flush[client.key] = client
        if not self._is_flush_due:
            self.flush_soon()

    def hold(self) -> bool:
        """Delay what is put from now on until `release`; return whether `release` must be called.

        It need not be where a flush is scheduled anyway.
        """
        was_due, self._is_flush_due = self._is_flush_due, True
        return not was_due

    def release(self) -> bool:
        """Send what was put since `hold`; True when the ROUTER must be polled afterwards."""
        self._is_flush_due = False
        self._send_pending()
        needs_poll, self._needs_poll = self._needs_poll, False
        return needs_poll

    def poll_router_soon(self) -> None:
        """Poll the ROUTER at the end of this tick, since a message has left through it."""
        self._needs_poll = True
        self.flush_soon()

    def flush_soon(self) -> None:
        """Flush at the end of this tick."""
        if not self._is_flush_due:
            self._is_flush_due = True
            self._reactor.call_soon(self._on_flush)

    def _on_flush(self) -> None:
        self._is_flush_due = False
        self.flush()

    def flush(self) -> None:
        """Send what waits for each client, then poll the ROUTER once if needed."""
        if self._is_closed:  # it may have been scheduled for the end of a tick
            return
        self._send_pending()
        if self._needs_poll:
            self._needs_poll = False
            self._poll_router()

    def _send_pending(self) -> None:
        if self._clients_to_flush:
            dirty, self._clients_to_flush = self._clients_to_flush, {}
            for client in dirty.values():
                self._send_to(client)

    def close(self) -> None:
        """Send what still waits and stop the timer."""
        self.flush()
        self._is_closed = True
        if self._retry_timer:
            self._retry_timer.cancel()

    def _send_to(self, client: ConnectedClient) -> None:
        """Send a client its unsent messages and pending records."""
        self._needs_poll = self._needs_poll or client.uses_router
        if not client.unsent_messages:
            if not client.pending_records:
                return
            message = self._encode(client.pending_records)
            client.pending_records = []
            if not (sent := client.path.send(message)):
                client.unsent_messages.append((message, ()))
                self._on_unsent(client, sent)
            return
        self._seal_batch(client)
        for index, (message, buffers) in enumerate(client.unsent_messages):
            sent = client.path.send(message, buffers)
            if not sent:
                del client.unsent_messages[:index]
                self._on_unsent(client, sent)
                return
        client.unsent_messages.clear()
        client.full_since_s = 0.0

    def _seal_batch(self, client: ConnectedClient) -> None:
        if client.pending_records:
            client.unsent_messages.append(
                (
                    codec.encode_batch(
                        frame.REPLY, self._incarnation, client.pending_records, 0, self._status.code
                    ),
                    (),
                )
            )
            client.pending_records = []

    def _encode(self, records: list[bytes], buffer_count: int = 0) -> bytes:
        return codec.encode_batch(frame.REPLY, self._incarnation, records, buffer_count, self._status.code)

    def _on_unsent(self, client: ConnectedClient, sent: bool | None) -> None:
        if sent is None:
            self._on_full(client)
        else:
            self._on_gone(client)

    def _on_full(self, client: ConnectedClient) -> None:
        now_s = time.monotonic()
        client.full_since_s = client.full_since_s or now_s
        if now_s - client.full_since_s > FULL_LIMIT_S:
            self._on_gone(client)
            return
        self._clients_to_flush[client.key] = client
        if not self._retry_timer:
            self._retry_timer = self._reactor.call_later(FULL_RETRY_S, self._on_retry)

    def _on_retry(self) -> None:
        self._retry_timer = None
        self.flush()
