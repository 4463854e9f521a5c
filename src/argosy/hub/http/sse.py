"""Streams the current state, then each change, to subscribers as server-sent events; none can block the hub.

A change is encoded once for all. A subscriber that falls behind loses its queue and gets the full state
again, so it ends with the correct state whatever it missed. One that accepts no data for `SEND_TIMEOUT_S` is
disconnected; browsers reconnect by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

KEEPALIVE_S: Final = 15.0
SEND_TIMEOUT_S: Final = 20.0
MAX_SUBSCRIBERS: Final = 500
MAX_QUEUED: Final = 500  # changes queued for one subscriber
_RETRY_MS: Final = 1000  # after which a browser reconnects
_CHUNK_BYTES: Final = 32 * 1024


class SseBroadcaster:
    """The subscribers of one hub. current_state: returns the document of each agent."""

    def __init__(self, current_state: Callable[[], Iterable[dict[str, Any]]]) -> None:
        self._current_state = current_state
        self._subscribers: set[_Subscriber] = set()
        self.resync_count = 0  # how often a full state was sent again
        self.disconnect_count = 0

    def __len__(self) -> int:
        return len(self._subscribers)

    def publish(self, change: dict[str, Any]) -> None:
        """Queue a change for all subscribers."""
        if not self._subscribers:
            return
        text = encode_event(change)
        for subscriber in self._subscribers:
            subscriber.put(text)

    def subscribe(self) -> _Subscriber:
        """Return a new subscriber; end it by `unsubscribe`."""
        subscriber = _Subscriber()
        self._subscribers.add(subscriber)
        return subscriber

    def unsubscribe(self, subscriber: _Subscriber) -> None:
        """Remove a subscriber."""
        self._subscribers.discard(subscriber)

    def full_state(self) -> bytes:
        """Return the current state, encoded as events."""
        return b"".join(map(encode_event, self._current_state()))

    def end(self) -> None:
        """End all subscribers: the hub stops."""
        for subscriber in self._subscribers:
            subscriber.end()


class _Subscriber:
    """The queue of one subscriber."""

    def __init__(self) -> None:
        self._queue: list[bytes] = []
        self._wake_event = asyncio.Event()
        self.needs_resync = True  # a new subscriber starts with the full state
        self.is_ended = False

    def put(self, text: bytes) -> None:
        if self.needs_resync:
            return  # the full state will include it
        self._queue.append(text)
        if len(self._queue) > MAX_QUEUED:
            self.needs_resync = True
            self._queue.clear()
        self._wake_event.set()

    def end(self) -> None:
        self.is_ended = True
        self._wake_event.set()

    async def wait(self, within_s: float) -> None:
        """Wait for a change or the end, at most `within_s` seconds."""
        try:
            await asyncio.wait_for(self._wake_event.wait(), within_s)
        except TimeoutError:
            return

    def drain(self) -> bytes:
        """Return the queued events and clear the queue."""
        self._wake_event.clear()
        text = b"".join(self._queue)
        self._queue.clear()
        return text


class SseResponse(Response):
    """The stream of one subscriber. send_timeout_s: how long it may accept no data."""

    def __init__(self, broadcaster: SseBroadcaster, send_timeout_s: float = SEND_TIMEOUT_S) -> None:
        super().__init__(None, 200, {"cache-control": "no-store"}, "text/event-stream; charset=utf-8")
        self._broadcaster = broadcaster
        self._send_timeout_s = send_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the client disconnects or blocks, or the hub stops."""
        subscriber = self._broadcaster.subscribe()
        disconnecting = asyncio.ensure_future(_end_on_disconnect(receive, subscriber))
        try:
            headers = [each for each in self.raw_headers if each[0] != b"content-length"]
            start = {"type": "http.response.start", "status": self.status_code, "headers": headers}
            await asyncio.wait_for(send(start), self._send_timeout_s)
            await self._send(send, f"retry: {_RETRY_MS}\n\n".encode())
            while not subscriber.is_ended:
                await self._send(send, self._next_payload(subscriber))
                await subscriber.wait(KEEPALIVE_S)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            self._broadcaster.disconnect_count += 1
        finally:
            disconnecting.cancel()
            self._broadcaster.unsubscribe(subscriber)

    def _next_payload(self, subscriber: _Subscriber) -> bytes:
        if not subscriber.needs_resync:
            return subscriber.drain() or b": keep-alive\n\n"
        subscriber.drain()
        subscriber.needs_resync = False
        self._broadcaster.resync_count += 1
        return self._broadcaster.full_state()

    async def _send(self, send: Send, text: bytes) -> None:
        """Send in chunks. Raises TimeoutError: a chunk is not accepted in time."""
        for first in range(0, len(text), _CHUNK_BYTES):
            chunk = text[first : first + _CHUNK_BYTES]
            message = {"type": "http.response.body", "body": chunk, "more_body": True}
            await asyncio.wait_for(send(message), self._send_timeout_s)


async def _end_on_disconnect(receive: Receive, subscriber: _Subscriber) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    subscriber.end()


def encode_event(change: dict[str, Any]) -> bytes:
    """Return a change as a server-sent event."""
    return b"data: " + msgspec.json.encode(change) + b"\n\n"
