"""Where an agent's neighbours on the same machine come in, and how they find it: beside its ipc socket."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from typing import Final

from argosy.fault import Fault, RefusedError
from argosy.wire.book import SOCKET_PATH_BYTES
from argosy.wire.link import Link
from argosy.wire.reactor import Reactor

MOST_UNSENT_BYTES: Final = 16 * 1024 * 1024
BACKLOG: Final = 1024
RETRY_ACCEPT_S: Final = 0.1


class Doorway:
    """Where an agent's neighbours come in: a listening Unix socket, mode 0600.

    came: called with each new link; who takes it watches and closes it.
    Raises RefusedError: the socket cannot be bound.
    """

    def __init__(self, name: str, path: str, reactor: Reactor, came: Callable[[Link], object]) -> None:
        self._path = path
        self._reactor = reactor
        self._came = came
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            _unlink_socket(path)
            self._listener.bind(path)
            os.chmod(path, 0o600)
            self._inode = os.stat(path).st_ino
        except OSError as error:
            self._listener.close()
            reason = (error.strerror or str(error)).lower()
            fault = Fault(name, "cannot-bind", f"`{name}` cannot bind `{path}`: {reason}")
            raise RefusedError(fault) from error
        self._listener.listen(BACKLOG)
        self._listener.setblocking(False)
        self._watch()

    def _watch(self) -> None:
        self._reactor.watch(self._listener.fileno(), self._on_readable)

    def _on_readable(self) -> None:
        while True:
            try:
                stream, _ = self._listener.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue
            except OSError:  # no descriptor is free: callers wait in the backlog meanwhile
                self._reactor.unwatch(self._listener.fileno())
                self._reactor.later(RETRY_ACCEPT_S, self._again)
                return
            self._came(Link(stream, self._reactor, most_unsent_bytes=MOST_UNSENT_BYTES))

    def _again(self) -> None:
        if self._listener.fileno() >= 0:
            self._watch()

    def close(self) -> None:
        """Listen no more; the path goes, unless another process has taken it over."""
        self._reactor.unwatch(self._listener.fileno())
        self._listener.close()
        try:
            if os.stat(self._path).st_ino == self._inode:
                os.unlink(self._path)
        except FileNotFoundError:
            return


def doorway_path(endpoint: str) -> str | None:
    """Return where the neighbours of an ipc endpoint come in, None for another one or too long a path."""
    if not endpoint.startswith("ipc:///"):
        return None
    path = f"{endpoint[6:]}.u"
    return path if len(os.fsencode(path)) <= SOCKET_PATH_BYTES else None


def connect_link(endpoint: str, reactor: Reactor) -> Link | None:
    """Return a link to who listens beside an ipc endpoint, None where nobody does."""
    path = doorway_path(endpoint)
    if not path:
        return None
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        stream.connect(path)
    except OSError:
        stream.close()
        return None
    return Link(stream, reactor, endpoint)


def _unlink_socket(path: str) -> None:
    try:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)
    except FileNotFoundError:
        return
