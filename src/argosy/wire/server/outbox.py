"""What leaves a callee: records of one tick in one message, callers that are full or gone.

A caller that does not read is tried again by a timer, within a bound; then it is forgotten, and
told *stale* should it come again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from argosy.wire.protocol import codec, frame
from argosy.wire.server.incoming_request import ClientKey, ConnectedClient
from argosy.wire.transport.reactor import Reactor, Timer

FULL_RETRY_S: Final = 0.01
FULL_LIMIT_S: Final = 5.0  # a caller that reads nothing for so long is forgotten


class Outbox:
    """The sending side of one callee.

    look: called once after a tick's last send through the ROUTER, which may have hidden that
    something arrived.
    gone: called with each caller that cannot be reached any more.
    state: the place in `frame.STATES` that replies tell.
    """

    def __init__(
        self,
        incarnation: int,
        reactor: Reactor,
        poll_router: Callable[[], object],
        on_gone: Callable[[ConnectedClient], object],
    ) -> None:
        self.state = 0
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
        """Add a reply record to those of this tick; one with buffers ends the message before it.

        A message as large as its caller's own leaves at once: it works on that while the rest is made.
        """
        if buffers:
            self._seal_batch(client)
            message = codec.encode_batch(frame.REPLY, self._incarnation, [record], len(buffers), self.state)
            client.unsent_messages.append((message, buffers))
        else:
            records = client.pending_records
            records.append(record)
            count = len(records)
            if count >= client.batch_size:
                self._send_to(client)
                return
            if count > 1:  # the first one has said that there is something to send
                return
        self._clients_to_flush[client.key] = client
        if not self._is_flush_due:
            self.flush_soon()

    def hold(self) -> bool:
        """Let what is put from now on wait for `release`, and tell whether there must be one.

        There must be none where a flush is due anyhow.
        """
        was_due, self._is_flush_due = self._is_flush_due, True
        return not was_due

    def release(self) -> bool:
        """Send what was put since `hold`; True when a look at the ROUTER has to follow."""
        self._is_flush_due = False
        self._send_pending()
        needs_poll, self._needs_poll = self._needs_poll, False
        return needs_poll

    def poll_router_soon(self) -> None:
        """Something has left through the ROUTER: look at the end of this tick."""
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
        """Send what waits for each caller, then look once if that is needed."""
        if self._is_closed:  # it may have been due at the end of a tick
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
        """Send a caller what is due."""
        self._needs_poll = self._needs_poll or client.uses_router
        if not client.unsent_messages:
            if not client.pending_records:
                return
            message = codec.encode_batch(
                frame.REPLY, self._incarnation, client.pending_records, 0, self.state
            )
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
                    codec.encode_batch(frame.REPLY, self._incarnation, client.pending_records, 0, self.state),
                    (),
                )
            )
            client.pending_records = []

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
