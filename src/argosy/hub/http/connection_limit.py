"""The connections of a hub: so many at most, and none that does not come to its question.

A connection that has not finished a header within `HEADER_S` is closed. Where there are as many as there may
be, the one that has been without a header longest makes room for the next, so that who has a question is
heard however many have none; where all have one, the next is told that the hub is busy.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

import h11
import msgspec
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from argosy.fault import Fault
from argosy.hub.http.request_guard import fault_response

HEADER_TIMEOUT_S: Final = 10.0
_MIN_CONNECTIONS: Final = 16
_MAX_CONNECTIONS: Final = 2000


def compute_max_connections() -> int:
    """Return how many connections there may be: half of this process's descriptors, as others need some."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        _MAX_CONNECTIONS
        if soft == resource.RLIM_INFINITY
        else max(_MIN_CONNECTIONS, min(_MAX_CONNECTIONS, soft // 2))
    )


class LimitedConnection(H11Protocol):
    """One connection of a page server."""

    max_connections = _MAX_CONNECTIONS
    header_timeout_s = HEADER_TIMEOUT_S

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a header, and make room where there is none."""
        super().connection_made(transport)
        self._idle_since_s = self.loop.time()
        self._header_timer = self.loop.call_later(self.header_timeout_s, self.abort)
        if len(self.connections) > self.max_connections and not _abort_oldest(self.connections):
            self.app = _respond_busy

    def data_received(self, data: bytes) -> None:
        """Take bytes; the first of a header begin the time that it may take."""
        super().data_received(data)
        if not self.is_awaiting_request():
            self._header_timer.cancel()
        elif self._header_timer.cancelled():
            self._idle_since_s = self.loop.time()
            self._header_timer = self.loop.call_later(self.header_timeout_s, self.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._header_timer.cancel()
        super().connection_lost(exc)

    def is_awaiting_request(self) -> bool:
        """Return whether no header is complete that is not answered."""
        return self.conn.their_state is h11.IDLE and (self.cycle is None or self.cycle.response_complete)

    def abort(self) -> None:
        """Close it, whatever waits to be written."""
        self.transport.abort()

    @property
    def idle_since_s(self) -> float:
        """Since when it has been without a question."""
        return self._idle_since_s

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP in the form of every error, and close."""
        body = msgspec.json.encode(
            {
                "argosy": "error/1",
                "errors": [msgspec.to_builtins(Fault("request", "no-http", msg.lower().rstrip(".")))],
            }
        )
        head = (
            f"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        )
        self.transport.write(f"{head}connection: close\r\n\r\n".encode() + body)
        self.transport.close()


def _abort_oldest(connections: Iterable[Any]) -> bool:
    """Close the connection that has been without a question longest; return whether there is one."""
    waiting = [
        each for each in connections if isinstance(each, LimitedConnection) and each.is_awaiting_request()
    ]
    if len(waiting) < 2:  # only the new one
        return False
    min(waiting, key=lambda each: each.idle_since_s).abort()
    return True


async def _respond_busy(scope: Scope, receive: Receive, send: Send) -> None:
    message = "the hub has as many connections as it may have"
    fault = Fault("hub", "too-many-connections", message, "ask again, or raise `ulimit -n` of the hub")
    await fault_response(HTTPStatus.SERVICE_UNAVAILABLE, fault)(scope, receive, send)
