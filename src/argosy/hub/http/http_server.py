"""The hub's HTTP server: runs in the agent's event loop, on the first free port.

A connection that has not completed a request header within `HEADER_TIMEOUT_S` is closed. At the limit, the
connection idle for longest is closed for a new one, so that idle connections cannot block requests; if all
connections have requests, the new one gets a busy response.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import resource
import socket
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import h11
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from argosy.fault import Fault, RefusedError
from argosy.hub.http.request_guard import fault_response
from argosy.hub.http.web_app import make_app

if TYPE_CHECKING:
    from argosy.hub.http.hub_services import HubServices

HEADER_TIMEOUT_S: Final = 10.0
_MIN_CONNECTIONS: Final = 16
_MAX_CONNECTIONS: Final = 2000
_MAX_PORTS_TRIED: Final = 100
_BACKLOG: Final = 64  # connections accepted at once, before the limit closes idle ones

_log = logging.getLogger("argosy.hub")


def compute_max_connections() -> int:
    """Return the connection limit: half of this process's file descriptors."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        _MAX_CONNECTIONS
        if soft == resource.RLIM_INFINITY
        else max(_MIN_CONNECTIONS, min(_MAX_CONNECTIONS, soft // 2))
    )


class LimitedConnection(H11Protocol):
    """One connection of the HTTP server. idle_since_s: when it became idle, by the event loop's clock."""

    max_connections = _MAX_CONNECTIONS
    header_timeout_s = HEADER_TIMEOUT_S

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the header time-out, and apply the connection limit."""
        super().connection_made(transport)
        self.idle_since_s = self.loop.time()
        self._header_timer = self.loop.call_later(self.header_timeout_s, self.transport.abort)
        if len(self.connections) > self.max_connections and not _abort_oldest(self.connections):
            self.app = _respond_busy

    def data_received(self, data: bytes) -> None:
        """Process received bytes; after a response the header time-out starts again."""
        super().data_received(data)
        if not self.is_awaiting_request():
            self._header_timer.cancel()
        elif self._header_timer.cancelled():
            self.idle_since_s = self.loop.time()
            self._header_timer = self.loop.call_later(self.header_timeout_s, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the header time-out."""
        self._header_timer.cancel()
        super().connection_lost(exc)

    def is_awaiting_request(self) -> bool:
        """Return whether no request is being received or answered."""
        return self.conn.their_state is h11.IDLE and (self.cycle is None or self.cycle.response_complete)

    def send_400_response(self, msg: str) -> None:
        """Respond to invalid HTTP with a JSON error, and close."""
        fault = Fault("request", "not-http", msg.lower().rstrip("."))
        body = bytes(fault_response(HTTPStatus.BAD_REQUEST, fault).body)
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
    min(waiting, key=lambda each: each.idle_since_s).transport.abort()
    return True


async def _respond_busy(scope: Scope, receive: Receive, send: Send) -> None:
    message = "the hub has reached its connection limit"
    fault = Fault("hub", "too-many-connections", message, "retry, or raise `ulimit -n` of the hub")
    await fault_response(HTTPStatus.SERVICE_UNAVAILABLE, fault)(scope, receive, send)


class _Server(uvicorn.Server):
    """Uvicorn without signal handlers, which the agent installs."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HubHttpServer:
    """Listens from its construction on, at `url`. Raises RefusedError: no port is free."""

    def __init__(self, hub: HubServices, bind: str, port: int) -> None:
        self._socket = _listen(bind, port)
        self._bind = bind
        self._port = number = self._socket.getsockname()[1]
        self.url = f"http://{f'[{bind}]' if ':' in bind else bind}:{number}"
        if number != port:
            _log.warning("port %d is in use: the hub's page is at %s", port, self.url)
        self._config = uvicorn.Config(
            make_app(hub),
            http=type("Limited", (LimitedConnection,), {"max_connections": compute_max_connections()}),
            backlog=_BACKLOG,
            log_level="warning",
            lifespan="off",
            access_log=False,
            timeout_graceful_shutdown=1,
            forwarded_allow_ips="127.0.0.1",  # overrides FORWARDED_ALLOW_IPS: local clients may act
        )
        self._server = _Server(self._config)
        self._ended = asyncio.Event()
        self._ended.set()

    async def run(self) -> None:
        """Serve until `stop`; a restart uses the same address."""
        if self._socket.fileno() < 0:
            self._socket = _listen(self._bind, self._port)
            self._server = _Server(self._config)
        self._ended.clear()
        try:
            await self._server.serve([self._socket])
        finally:
            self._socket.close()
            self._ended.set()

    async def stop(self) -> None:
        """Close all connections and stop the server."""
        self._server.should_exit = True
        await self._ended.wait()


def _listen(bind: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    for number in range(port, min(port + _MAX_PORTS_TRIED, 65536)):
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((bind, number))
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRINUSE:
                message = f"the hub's page cannot listen on {bind}:{number}: {error.strerror}"
                raise RefusedError(Fault("hub.bind", "hub-bind", message)) from error
            continue
        listener.setblocking(False)
        return listener
    message = f"no free port from {port} on at {bind}"
    raise RefusedError(Fault("hub.port", "hub-port", message, "set `hub: {port: …}` in the fleet file"))
