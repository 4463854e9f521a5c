"""How a lease ends while other threads are on its sockets.

libzmq closes no socket when a context is terminated: it wakes whoever waits on one, lets every further
operation fail with ETERM, and waits until the sockets' owners have closed them. On a context that
others share nothing of this can be asked of libzmq; and to close a socket on which another thread waits
aborts the process. So sockets of a lease know their lease's end: they wait on it beside themselves, and
raise `zmq.ContextTerminated` after it. A poller of pyzmq that has such sockets does too.
"""

from __future__ import annotations

import functools
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final

import zmq
import zmq.sugar.context
import zmq.sugar.poll
import zmq.sugar.socket
from zmq.backend import zmq_poll

from argosy.wire.departure import Departures, holds, named
from argosy.wire.port import wait_until

_RealSocket = zmq.sugar.socket.Socket
_Poller = zmq.sugar.poll.Poller
_wait_of_pyzmq = _Poller.poll

OWNERS_S: Final = 1.0


class End:
    """The end of one lease: whether it has come, and a descriptor that is readable from then on."""

    __slots__ = ("__weakref__", "_bell", "is_over")

    def __init__(self) -> None:
        self.is_over = False
        self._bell = -1

    def bell(self) -> int:
        """Return what a thread that waits has to wait on too; made when the first one does."""
        if self._bell < 0:
            with _ringing:
                if self._bell < 0:
                    self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        return self._bell

    def come(self) -> None:
        """Let everything on the sockets fail from now on, and wake those who wait."""
        self.is_over = True
        with _ringing:
            if self._bell >= 0:
                os.eventfd_write(self._bell, 1)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        if self._bell >= 0:
            close(self._bell)


class Usage:
    """Who is on a socket of a lease: the last thread, and whether it is inside of an operation now.

    bound: what it has bound; is_joined: whether it has bound or connected anything.
    """

    __slots__ = (
        "bound",
        "departures",
        "depth",
        "end",
        "is_joined",
        "is_taken",
        "leaves",
        "linger",
        "thread",
    )

    def __init__(self, end: End, departures: Departures) -> None:
        self.end = end
        self.departures = departures
        self.bound: set[str] = set()
        self.is_joined = False
        self.is_taken = False  # closed by the end of the lease, while its user does not know of it
        self.thread = threading.get_ident()
        self.depth = 0
        self.leaves = False  # who is inside shall close it
        self.linger: int | None = None

    def enter(self, socket: zmq.Socket[Any]) -> None:
        """Begin an operation. Raises ContextTerminated: the lease has ended, and the socket is open."""
        self.depth += 1  # before the question: who ends the lease asks in the other order
        if self.end.is_over and self.hears_of_it(socket):
            self.depth -= 1
            raise zmq.ContextTerminated
        self.thread = threading.get_ident()

    def hears_of_it(self, socket: zmq.Socket[Any]) -> bool:
        """Return whether the end of the lease is what a socket tells: not if its user knows it as closed."""
        return self.is_taken or not socket.closed

    def leave(self, socket: zmq.Socket[Any]) -> None:
        """End an operation, and the socket where that was left to this thread."""
        self.depth -= 1
        if self.leaves and not self.depth:
            socket.close(self.linger)


_left_to_users: weakref.WeakSet[zmq.Socket[Any]] = weakref.WeakSet()
_ringing = threading.RLock()  # a signal handler may end a lease while its thread makes the bell


def _renew_lock() -> None:
    global _ringing
    _ringing = threading.RLock()  # another thread may have held it at the fork


os.register_at_fork(after_in_child=_renew_lock)


def attend(socket: zmq.Socket[Any], end: End, departures: Departures) -> None:
    """Let a socket, of a class of `attending`, know its lease's end, and pyzmq's pollers ask for it.

    departures: where it is noted when it is closed.
    """
    socket.__dict__["_lease_usage"] = Usage(end, departures)
    if _Poller.poll is not _poll:
        _Poller.poll = _poll  # type: ignore[method-assign]


def close_all(sockets: Iterable[zmq.Socket[Any]], linger: int | None, *, is_asked: bool = False) -> None:
    """Close the sockets of a lease that has ended; those on which other threads are, by these threads.

    Waits for them for `OWNERS_S` at most. A socket that a thread never leaves stays open until it does.
    is_asked: threads that live and are not inside of an operation now are waited for as well, so that they
    close their sockets their own way, as libzmq's `term` waits for all.
    """
    left = [socket for socket in sockets if not socket.closed]

    def are_closed() -> bool:
        left[:] = [socket for socket in left if not _has_closed(socket, linger, is_asked=is_asked)]
        return not left

    wait_until(are_closed, OWNERS_S)
    for socket in left:
        socket.__dict__["_lease_usage"].is_taken = is_asked
        _leave_to_user(socket, linger)


def _has_closed(socket: zmq.Socket[Any], linger: int | None, *, is_asked: bool) -> bool:
    """Close a socket if nobody else may be about to; tell whether it needs no more care."""
    usage: Usage | None = socket.__dict__.get("_lease_usage")
    if socket.closed:
        return True
    if usage is not None and usage.thread != threading.get_ident():
        if usage.depth or (is_asked and _is_alive(usage.thread)):
            return False
    elif usage is not None and usage.depth:  # by a signal handler, in the middle of an operation
        _leave_to_user(socket, linger)
        return True
    if usage is not None:
        usage.is_taken = is_asked
    socket.close(linger)
    return True


def _leave_to_user(socket: zmq.Socket[Any], linger: int | None) -> None:
    usage: Usage = socket.__dict__["_lease_usage"]
    usage.linger, usage.leaves = linger, True
    _left_to_users.add(socket)
    if not usage.depth:  # meanwhile
        socket.close(linger)


def is_leaving(endpoint: str) -> bool:
    """Return whether a socket of a lease that is closed, or about to be, had bound an endpoint."""
    wanted = named(endpoint)
    about = [each.__dict__["_lease_usage"].bound for each in list(_left_to_users) if not each.closed]
    return holds(endpoint) or any(wanted in map(named, bound) for bound in about)


def _is_alive(ident: int) -> bool:
    return any(thread.ident == ident for thread in threading.enumerate())


# -- what is done to a socket -------------------------------------------------------------------------


def attending(kind: Any) -> dict[str, Callable[..., Any]]:
    """Return the methods by which sockets of a class notice the end of their lease.

    A class that receives or sends in a way of its own keeps it.
    """
    made: dict[str, Callable[..., Any]] = {
        "bind": _joining(kind, "bind"),
        "close": _closing(kind),
        "connect": _joining(kind, "connect"),
    }
    for name, event, limit in (
        ("recv", zmq.POLLIN, zmq.RCVTIMEO),
        ("recv_into", zmq.POLLIN, zmq.RCVTIMEO),
        ("send", zmq.POLLOUT, zmq.SNDTIMEO),
    ):
        if getattr(kind, name) is getattr(_RealSocket, name):
            made[name] = _waiting(kind, name, event, limit)
    return made


# Each method of `kind` is looked up when it is called: somebody may have taken its place meanwhile, as a test
# does, and what rules over the binds of an old agent.


def _joining(kind: Any, name: str) -> Callable[..., Any]:
    @functools.wraps(getattr(kind, name))
    def join(self: zmq.Socket[Any], *args: Any, **options: Any) -> Any:
        usage: Usage = self.__dict__["_lease_usage"]
        usage.enter(self)
        try:
            result = getattr(kind, name)(self, *args, **options)
            usage.is_joined = True
            return result
        finally:
            usage.leave(self)

    return join


def _closing(kind: Any) -> Callable[..., Any]:
    @functools.wraps(kind.close)
    def close(self: zmq.Socket[Any], linger: int | None = None) -> None:
        usage: Usage = self.__dict__["_lease_usage"]
        if usage.depth and usage.thread != threading.get_ident():
            _leave_to_user(self, linger)
            return
        if usage.is_joined and not self.closed:
            usage.departures.add(self, usage.bound)
        kind.close(self, linger)

    return close


def _waiting(kind: Any, name: str, event: int, limit: int) -> Callable[..., Any]:
    """Return a method that waits by a poll on the socket and on its lease's end, where pyzmq's blocks."""
    if name == "recv":

        @functools.wraps(kind.recv)
        def recv(self: zmq.Socket[Any], flags: int = 0, *args: Any, **options: Any) -> Any:
            return _operate(
                self, lambda extra: kind.recv(self, flags | extra, *args, **options), flags, event, limit
            )

        return recv
    if name == "send":

        @functools.wraps(kind.send)
        def send(self: zmq.Socket[Any], data: Any, flags: int = 0, *args: Any, **options: Any) -> Any:
            return _operate(
                self,
                lambda extra: kind.send(self, data, flags | extra, *args, **options),
                flags,
                event,
                limit,
            )

        return send

    @functools.wraps(kind.recv_into)
    def recv_into(self: zmq.Socket[Any], buffer: Any, /, *, nbytes: int = 0, flags: int = 0) -> Any:
        return _operate(
            self,
            lambda extra: kind.recv_into(self, buffer, nbytes=nbytes, flags=flags | extra),
            flags,
            event,
            limit,
        )

    return recv_into


def _operate(socket: zmq.Socket[Any], act: Callable[[int], Any], flags: int, event: int, limit: int) -> Any:
    usage: Usage = socket.__dict__["_lease_usage"]
    usage.enter(socket)
    try:
        if flags & zmq.DONTWAIT:
            return act(0)
        try:
            return act(zmq.DONTWAIT)
        except zmq.Again:
            return _wait_and_act(socket, usage.end, act, event, limit)
    finally:
        usage.leave(socket)


def _wait_and_act(
    socket: zmq.Socket[Any], end: End, act: Callable[[int], Any], event: int, limit: int
) -> Any:
    allowed_ms = socket.get(limit)
    assert isinstance(allowed_ms, int)
    until = time.monotonic() + allowed_ms / 1000
    waited_on: Any = [(socket, event), (end.bell(), zmq.POLLIN)]
    while True:
        left_ms = -1 if allowed_ms < 0 else max(0, round((until - time.monotonic()) * 1000))
        ready = zmq_poll(waited_on, left_ms) if not end.is_over else ()
        if end.is_over:
            raise zmq.ContextTerminated
        try:
            return act(zmq.DONTWAIT)
        except zmq.Again:
            if not ready and left_ms >= 0:
                raise


def _poll(self: zmq.Poller, timeout: int | None = None) -> list[tuple[Any, int]]:
    """Poll as pyzmq does, but raise ContextTerminated when a lease ends that one of the sockets is of."""
    mine: list[tuple[Any, Usage]] = [
        (each, each.__dict__["_lease_usage"])
        for each, _ in self.sockets
        if isinstance(each, _RealSocket)
        and "_lease_usage" in each.__dict__
        and each.__dict__["_lease_usage"].hears_of_it(each)
    ]
    if not mine:
        return _wait_of_pyzmq(self, timeout)
    entered: list[tuple[Any, Usage]] = []
    try:
        for socket, usage in mine:
            usage.enter(socket)
            entered.append((socket, usage))
        return _poll_or_end(self.sockets, {usage.end for _, usage in mine}, timeout)
    finally:
        for socket, usage in entered:
            usage.leave(socket)


def _poll_or_end(
    sockets: list[tuple[Any, int]], ends: set[End], timeout: int | None
) -> list[tuple[Any, int]]:
    allowed_ms = -1 if timeout is None or timeout < 0 else int(timeout)
    bells = {end.bell() for end in ends}
    ready: list[tuple[Any, int]] = []
    if not any(end.is_over for end in ends):  # after the bells were made: they ring from then on
        ready = zmq_poll([*sockets, *((bell, zmq.POLLIN) for bell in bells)], allowed_ms)
    if any(end.is_over for end in ends):
        raise zmq.ContextTerminated
    return ready


_poll.__doc__ = _Poller.poll.__doc__
