"""Limits the connections of a hub and closes those that send no request.

A connection that has not completed a request header within `HEADER_TIMEOUT_S` is closed. At the limit, the
connection idle for longest is closed for a new one, so that idle connections cannot block requests; if all
connections have requests, the new one gets a busy response.
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
    """Return the connection limit: half of this process's file descriptors."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        _MAX_CONNECTIONS
        if soft == resource.RLIM_INFINITY
        else max(_MIN_CONNECTIONS, min(_MAX_CONNECTIONS, soft // 2))
    )


class LimitedConnection(H11Protocol):
    """One connection of the HTTP server."""

    max_connections = _MAX_CONNECTIONS
    header_timeout_s = HEADER_TIMEOUT_S

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the header time-out, and apply the connection limit."""
        super().connection_made(transport)
        self._idle_since_s = self.loop.time()
        self._header_timer = self.loop.call_later(self.header_timeout_s, self.abort)
        if len(self.connections) > self.max_connections and not _abort_oldest(self.connections):
            self.app = _respond_busy

    def data_received(self, data: bytes) -> None:
        """Process received bytes; after a response the header time-out starts again."""
        super().data_received(data)
        if not self.is_awaiting_request():
            self._header_timer.cancel()
        elif self._header_timer.cancelled():
            self._idle_since_s = self.loop.time()
            self._header_timer = self.loop.call_later(self.header_timeout_s, self.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the header time-out."""
        self._header_timer.cancel()
        super().connection_lost(exc)

    def is_awaiting_request(self) -> bool:
        """Return whether no request is being received or answered."""
        return self.conn.their_state is h11.IDLE and (self.cycle is None or self.cycle.response_complete)

    def abort(self) -> None:
        """Close the connection without writing pending data."""
        self.transport.abort()

    @property
    def idle_since_s(self) -> float:
        """When the connection last became idle, by the event loop's clock."""
        return self._idle_since_s

    def send_400_response(self, msg: str) -> None:
        """Respond to invalid HTTP with a JSON error, and close."""
        body = msgspec.json.encode(
            {
                "argosy": "error/1",
                "errors": [msgspec.to_builtins(Fault("request", "not-http", msg.lower().rstrip(".")))],
            }
        )
        head = (
            f"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        )
        self.transport.write(f"{head}connection: close\r\n\r\n".encode() + body)
        self.transport.close()


def _abort_oldest(connections: Iterable[Any]) -> bool:
    """Close the connection idle for longest; return whether there is one."""
    waiting = [
        each for each in connections if isinstance(each, LimitedConnection) and each.is_awaiting_request()
    ]
    if len(waiting) < 2:  # only the new one
        return False
    min(waiting, key=lambda each: each.idle_since_s).abort()
    return True


async def _respond_busy(scope: Scope, receive: Receive, send: Send) -> None:
    message = "the hub has reached its connection limit"
    fault = Fault("hub", "too-many-connections", message, "retry, or raise `ulimit -n` of the hub")
    await fault_response(HTTPStatus.SERVICE_UNAVAILABLE, fault)(scope, receive, send)
