"""Viewers: each is streamed what stands, then each change, as server-sent events; none can hold up the hub.

A change is encoded once for all. A viewer that does not keep up loses what it has not read, and is given all
that stands anew, so that it ends with the truth whatever it missed. One that takes nothing for `STUCK_S` is
cut off, and may come again: its browser does so by itself.
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
MAX_QUEUED: Final = 500  # changes that wait for one viewer
_RETRY_MS: Final = 1000  # after which a browser asks again when the hub is gone
_CHUNK_BYTES: Final = 32 * 1024


class SseBroadcaster:
    """All who look. standing: returns what stands now, each a change."""

    def __init__(self, current_state: Callable[[], Iterable[dict[str, Any]]]) -> None:
        self._current_state = current_state
        self._subscribers: set[_Subscriber] = set()
        self.resync_count = 0  # how often a viewer was given all anew
        self.disconnect_count = 0

    def __len__(self) -> int:
        return len(self._subscribers)

    def publish(self, change: dict[str, Any]) -> None:
        """Hand a change to all who look."""
        if not self._subscribers:
            return
        text = encode_event(change)
        for subscriber in self._subscribers:
            subscriber.put(text)

    def subscribe(self) -> _Subscriber:
        """Return a line for one more viewer, which `close` ends."""
        line = _Subscriber()
        self._subscribers.add(line)
        return line

    def unsubscribe(self, subscriber: _Subscriber) -> None:
        """Forget a viewer."""
        self._subscribers.discard(subscriber)

    def full_state(self) -> bytes:
        """Return all that stands."""
        return b"".join(map(encode_event, self._current_state()))

    def end(self) -> None:
        """Let all go: the hub ends."""
        for subscriber in self._subscribers:
            subscriber.end()


class _Subscriber:
    """What waits for one viewer."""

    def __init__(self) -> None:
        self._queue: list[bytes] = []
        self._wake_event = asyncio.Event()
        self.needs_resync = True  # as it begins with all
        self.is_ended = False

    def put(self, text: bytes) -> None:
        if self.needs_resync:
            return  # it will be given all anyway
        self._queue.append(text)
        if len(self._queue) > MAX_QUEUED:
            self.needs_resync = True
            self._queue.clear()
        self._wake_event.set()

    def end(self) -> None:
        self.is_ended = True
        self._wake_event.set()

    async def wait(self, within_s: float) -> None:
        """Return when something waits, or the time is over."""
        try:
            await asyncio.wait_for(self._wake_event.wait(), within_s)
        except TimeoutError:
            return

    def drain(self) -> bytes:
        """Return what waits."""
        self._wake_event.clear()
        text = b"".join(self._queue)
        self._queue.clear()
        return text


class SseResponse(Response):
    """The answer to one viewer. stuck_s: how long it may take nothing."""

    def __init__(self, broadcaster: SseBroadcaster, send_timeout_s: float = SEND_TIMEOUT_S) -> None:
        super().__init__(None, 200, {"cache-control": "no-store"}, "text/event-stream; charset=utf-8")
        self._broadcaster = broadcaster
        self._send_timeout_s = send_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the viewer leaves, is stuck, or the hub ends."""
        subscriber = self._broadcaster.subscribe()
        leaving = asyncio.ensure_future(_end_on_disconnect(receive, subscriber))
        try:
            headers = [each for each in self.raw_headers if each[0] != b"content-length"]
            begin = {"type": "http.response.start", "status": self.status_code, "headers": headers}
            await asyncio.wait_for(send(begin), self._send_timeout_s)
            await self._send(send, f"retry: {_RETRY_MS}\n\n".encode())
            while not subscriber.is_ended:
                await self._send(send, self._next_payload(subscriber))
                await subscriber.wait(KEEPALIVE_S)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            self._broadcaster.disconnect_count += 1
        finally:
            leaving.cancel()
            self._broadcaster.unsubscribe(subscriber)

    def _next_payload(self, subscriber: _Subscriber) -> bytes:
        if not subscriber.needs_resync:
            return subscriber.drain() or b": still here\n\n"
        subscriber.drain()
        subscriber.needs_resync = False
        self._broadcaster.resync_count += 1
        return self._broadcaster.full_state()

    async def _send(self, send: Send, text: bytes) -> None:
        """Send in pieces, each of which has to be taken in time. Raises TimeoutError."""
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
