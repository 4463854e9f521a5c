"""Where an agent's neighbours on the same machine come in, and how they find it: beside its ipc socket."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from functools import partial
from typing import Final

from argosy.fault import RefusedError
from argosy.wire.arrival import BUDGET
from argosy.wire.binding import cannot_bind
from argosy.wire.book import SOCKET_PATH_BYTES
from argosy.wire.link import READ_BYTES, Link
from argosy.wire.outbox import Outbox
from argosy.wire.reactor import Reactor, Timer

MOST_UNSENT_BYTES: Final = 16 * 1024 * 1024
BACKLOG: Final = 1024
RETRY_ACCEPT_S: Final = 0.1
RETRY_ROOM_S: Final = 0.1
DRAIN_MESSAGES: Final = 128  # in one go, so that a flood does not starve handlers and timers


class Doorway:
    """A listening Unix socket, mode 0600, and the links of those who came in by it.

    take: called with each message and the link that it came by. gone: called when a link has ended.
    outbox: what `take` answers on the spot leaves once the link has been read.
    Raises RefusedError: the socket cannot be bound.
    """

    def __init__(
        self,
        name: str,
        path: str,
        reactor: Reactor,
        outbox: Outbox,
        take: Callable[[Link, list[memoryview]], object],
        gone: Callable[[Link], object],
    ) -> None:
        self._path = path
        self._reactor = reactor
        self._outbox = outbox
        self._take = take
        self._gone = gone
        self._links: set[Link] = set()
        self._unfinished: set[Link] = set()
        self._unfinished_timer: Timer | None = None
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            _unlink_socket(path)
            self._listener.bind(path)
            os.chmod(path, 0o600)
            self._inode = os.stat(path).st_ino
        except OSError as error:
            self._listener.close()
            raise RefusedError(cannot_bind(name, path, error)) from error
        self._listener.listen(BACKLOG)
        self._listener.setblocking(False)
        self._watch()

    def drop(self, link: Link) -> None:
        """Close a link that has ended, or is of no more use."""
        if link in self._links:
            self._links.discard(link)
            self._unfinished.discard(link)
            link.close()
            self._gone(link)

    def close(self) -> None:
        """Listen no more, close the links; the path goes, unless another process has taken it over."""
        self._reactor.unwatch(self._listener.fileno())
        self._listener.close()
        if self._unfinished_timer:
            self._unfinished_timer.cancel()
        for link in self._links:
            link.close(linger=True)
        self._links.clear()
        try:
            if os.stat(self._path).st_ino == self._inode:
                os.unlink(self._path)
        except FileNotFoundError:
            return

    def _watch(self) -> None:
        self._reactor.watch(self._listener.fileno(), self._on_listener)

    def _on_listener(self) -> None:
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
            # A stranger: until it has been welcomed, a HELLO is all that it may send.
            link = Link(
                stream,
                self._reactor,
                most_unsent_bytes=MOST_UNSENT_BYTES,
                largest_bytes=READ_BYTES,
                budget=BUDGET,
            )
            self._links.add(link)
            self._watch_link(link)

    def _watch_link(self, link: Link) -> None:
        self._reactor.watch(link.fd, partial(self._on_readable, link, is_told=True))

    def _again(self) -> None:
        if self._listener.fileno() >= 0:
            self._watch()

    def _on_readable(self, link: Link, *, is_told: bool = False) -> None:
        """Take what is there, and send what was answered on the spot; then see whether it has ended."""
        if link not in self._links:  # it may have been dropped within this tick
            return
        is_held = self._outbox.hold()
        try:
            is_more = self._take_some(link, is_told)
        finally:
            if is_held and self._outbox.release():
                self._outbox.look_soon()
        if is_more:
            self._reactor.soon(partial(self._on_readable, link))
        elif link.ending():
            self.drop(link)
        elif link.is_unfinished:
            self._keep_unfinished(link)
        else:
            self._unfinished.discard(link)

    def _keep_unfinished(self, link: Link) -> None:
        """Look at the link again soon, also when nothing comes; not read while it waits for room."""
        if link.awaits_room:
            self._reactor.unwatch(link.fd)
        self._unfinished.add(link)
        if not self._unfinished_timer:
            self._unfinished_timer = self._reactor.later(RETRY_ROOM_S, self._on_unfinished)

    def _on_unfinished(self) -> None:
        """Try those again that wait for room, and end those that hold room and send nothing."""
        self._unfinished_timer = None
        for link in tuple(self._unfinished):
            if link.awaits_room:
                self._watch_link(link)
                self._on_readable(link, is_told=True)
            elif link.is_stalled and BUDGET.is_short:
                self.drop(link)
        if self._unfinished and not self._unfinished_timer:
            self._unfinished_timer = self._reactor.later(RETRY_ROOM_S, self._on_unfinished)

    def _take_some(self, link: Link, is_told: bool) -> bool:
        """Take messages; tell whether it stopped before the last."""
        for _ in range(DRAIN_MESSAGES):
            message = link.receive(is_told=is_told)
            if message is None:
                return False
            is_told = False
            self._take(link, message)
        return True


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
    try:
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError:  # no descriptor is free; the other way says so
        return None
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
