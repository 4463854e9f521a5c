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
STUCK_S: Final = 20.0
MOST_VIEWERS: Final = 500
MOST_WAITING: Final = 500  # changes that wait for one viewer
_RETRY_MS: Final = 1000  # after which a browser asks again when the hub is gone
_PIECE_BYTES: Final = 32 * 1024


class Viewers:
    """All who look. standing: returns what stands now, each a change."""

    def __init__(self, standing: Callable[[], Iterable[dict[str, Any]]]) -> None:
        self._standing = standing
        self._lines: set[_Line] = set()
        self.caught_up = 0  # how often a viewer was given all anew
        self.cut_off = 0

    def __len__(self) -> int:
        return len(self._lines)

    def tell(self, change: dict[str, Any]) -> None:
        """Hand a change to all who look."""
        if not self._lines:
            return
        text = encoded(change)
        for line in self._lines:
            line.put(text)

    def open(self) -> _Line:
        """Return a line for one more viewer, which `close` ends."""
        line = _Line()
        self._lines.add(line)
        return line

    def close(self, line: _Line) -> None:
        """Forget a viewer."""
        self._lines.discard(line)

    def all(self) -> bytes:
        """Return all that stands."""
        return b"".join(map(encoded, self._standing()))

    def end(self) -> None:
        """Let all go: the hub ends."""
        for line in self._lines:
            line.end()


class _Line:
    """What waits for one viewer."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._news = asyncio.Event()
        self.has_missed = True  # as it begins with all
        self.is_ended = False

    def put(self, text: bytes) -> None:
        if self.has_missed:
            return  # it will be given all anyway
        self._waiting.append(text)
        if len(self._waiting) > MOST_WAITING:
            self.has_missed = True
            self._waiting.clear()
        self._news.set()

    def end(self) -> None:
        self.is_ended = True
        self._news.set()

    async def wait(self, within_s: float) -> None:
        """Return when something waits, or the time is over."""
        try:
            await asyncio.wait_for(self._news.wait(), within_s)
        except TimeoutError:
            return

    def take(self) -> bytes:
        """Return what waits."""
        self._news.clear()
        text = b"".join(self._waiting)
        self._waiting.clear()
        return text


class Stream(Response):
    """The answer to one viewer. stuck_s: how long it may take nothing."""

    def __init__(self, viewers: Viewers, stuck_s: float = STUCK_S) -> None:
        super().__init__(None, 200, {"cache-control": "no-store"}, "text/event-stream; charset=utf-8")
        self._viewers = viewers
        self._stuck_s = stuck_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the viewer leaves, is stuck, or the hub ends."""
        line = self._viewers.open()
        leaving = asyncio.ensure_future(_left(receive, line))
        try:
            headers = [each for each in self.raw_headers if each[0] != b"content-length"]
            begin = {"type": "http.response.start", "status": self.status_code, "headers": headers}
            await asyncio.wait_for(send(begin), self._stuck_s)
            await self._send(send, f"retry: {_RETRY_MS}\n\n".encode())
            while not line.is_ended:
                await self._send(send, self._next(line))
                await line.wait(KEEPALIVE_S)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            self._viewers.cut_off += 1
        finally:
            leaving.cancel()
            self._viewers.close(line)

    def _next(self, line: _Line) -> bytes:
        if not line.has_missed:
            return line.take() or b": still here\n\n"
        line.take()
        line.has_missed = False
        self._viewers.caught_up += 1
        return self._viewers.all()

    async def _send(self, send: Send, text: bytes) -> None:
        """Send in pieces, each of which has to be taken in time. Raises TimeoutError."""
        for first in range(0, len(text), _PIECE_BYTES):
            piece = text[first : first + _PIECE_BYTES]
            message = {"type": "http.response.body", "body": piece, "more_body": True}
            await asyncio.wait_for(send(message), self._stuck_s)


async def _left(receive: Receive, line: _Line) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    line.end()


def encoded(change: dict[str, Any]) -> bytes:
    """Return a change as a server-sent event."""
    return b"data: " + msgspec.json.encode(change) + b"\n\n"
