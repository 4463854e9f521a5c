"""The hub's HTTP server: runs in the agent's event loop, on the first free port."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import uvicorn

from argosy.fault import Fault, RefusedError
from argosy.hub.http.connection_limit import LimitedConnection, compute_max_connections
from argosy.hub.http.web_app import make_app

if TYPE_CHECKING:
    from argosy.hub.http.hub_services import HubServices

_MAX_PORTS_TRIED: Final = 100
_BACKLOG: Final = 64  # connections accepted at once, before the limit closes idle ones
_log = logging.getLogger("argosy.hub")


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
            http=_limited_connection_class(),
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


def _limited_connection_class() -> type[LimitedConnection]:
    class Limited(LimitedConnection):
        max_connections = compute_max_connections()

    return Limited


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
