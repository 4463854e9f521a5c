"""The end of a context handle while other threads use its sockets.

libzmq closes no socket when a context is terminated: it wakes the threads blocked on one, lets every
further operation fail with ETERM, and waits until the owners have closed the sockets. On a shared context
libzmq offers nothing like it, and closing a socket on which another thread waits aborts the process. So
the sockets of a handle have its shutdown signal: they wait for it beside the socket, and raise
`zmq.ContextTerminated` after it. A pyzmq poller that has such sockets does too.
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

from argosy.wire.zmq_context.closing_sockets import ClosingSockets, bind_key, is_held_by_closing, wait_until

_RealSocket = zmq.sugar.socket.Socket
_Poller = zmq.sugar.poll.Poller
_original_poll = _Poller.poll

OWNER_CLOSE_TIMEOUT_S: Final = 1.0


class ShutdownSignal:
    """The end of one handle: whether it has come, and a descriptor that is readable from then on."""

    __slots__ = ("__weakref__", "_eventfd", "is_set")

    def __init__(self) -> None:
        self.is_set = False
        self._eventfd = -1

    def wait_fd(self) -> int:
        """Return the descriptor that a blocked thread waits for too; made at first use."""
        if self._eventfd < 0:
            with _eventfd_lock:
                if self._eventfd < 0:
                    self._eventfd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        return self._eventfd

    def trigger(self) -> None:
        """Let every operation on the sockets fail from now on, and wake the threads that wait."""
        self.is_set = True
        with _eventfd_lock:
            if self._eventfd >= 0:
                os.eventfd_write(self._eventfd, 1)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        if self._eventfd >= 0:
            close(self._eventfd)


class SocketUsage:
    """Which thread uses a socket of a handle: the last one, and whether it is inside an operation now.

    bound: the endpoints it bound; has_endpoint: whether it bound or connected anything.
    """

    __slots__ = (
        "bound",
        "closing",
        "depth",
        "has_endpoint",
        "is_close_deferred",
        "is_closed_by_shutdown",
        "linger",
        "shutdown",
        "thread",
    )

    def __init__(self, shutdown: ShutdownSignal, closing: ClosingSockets) -> None:
        self.shutdown = shutdown
        self.closing = closing
        self.bound: set[str] = set()
        self.has_endpoint = False
        self.is_closed_by_shutdown = False  # closed by the end of the handle, which its user does not know
        self.thread = threading.get_ident()
        self.depth = 0
        self.is_close_deferred = False  # the thread inside an operation closes it
        self.linger: int | None = None

    def enter(self, socket: zmq.Socket[Any]) -> None:
        """Begin an operation. Raises ContextTerminated: the handle has ended, and the socket is open."""
        self.depth += 1  # before the check: the thread that ends the handle checks in the reverse order
        if self.shutdown.is_set and self.is_affected(socket):
            self.depth -= 1
            raise zmq.ContextTerminated
        self.thread = threading.get_ident()

    def is_affected(self, socket: zmq.Socket[Any]) -> bool:
        """Return whether an operation reports the end of the handle: not if the user closed the socket."""
        return self.is_closed_by_shutdown or not socket.closed

    def leave(self, socket: zmq.Socket[Any]) -> None:
        """End an operation, and close the socket where that was left to this thread."""
        self.depth -= 1
        if self.is_close_deferred and not self.depth:
            socket.close(self.linger)


_deferred: weakref.WeakSet[zmq.Socket[Any]] = weakref.WeakSet()
_eventfd_lock = threading.RLock()  # a signal handler may end a handle while its thread makes the eventfd


def _reset_lock_after_fork() -> None:
    global _eventfd_lock
    _eventfd_lock = threading.RLock()  # another thread may have held it at the fork


os.register_at_fork(after_in_child=_reset_lock_after_fork)


def attach_shutdown(socket: zmq.Socket[Any], shutdown: ShutdownSignal, closing: ClosingSockets) -> None:
    """Attach a socket, of a class with `guarded_methods`, to its handle's shutdown, also for pyzmq's pollers.

    closing: records the socket when it is closed.
    """
    socket.__dict__["_argosy_usage"] = SocketUsage(shutdown, closing)
    if _Poller.poll is not _guarded_poll:
        _Poller.poll = _guarded_poll  # type: ignore[method-assign]


def close_sockets(
    sockets: Iterable[zmq.Socket[Any]], linger: int | None, *, wait_for_owners: bool = False
) -> None:
    """Close the sockets of a handle that has ended; a socket in use is closed by the thread that uses it.

    Waits at most OWNER_CLOSE_TIMEOUT_S for them. A socket that a thread does not leave stays open.
    wait_for_owners: also wait for live threads that are not inside an operation now, so that they
    close their sockets themselves, as libzmq's `term` waits for all.
    """
    left = [socket for socket in sockets if not socket.closed]

    def is_all_closed() -> bool:
        left[:] = [
            socket for socket in left if not _close_if_unused(socket, linger, wait_for_owners=wait_for_owners)
        ]
        return not left

    wait_until(is_all_closed, OWNER_CLOSE_TIMEOUT_S)
    for socket in left:
        socket.__dict__["_argosy_usage"].is_closed_by_shutdown = wait_for_owners
        _defer_close(socket, linger)


def _close_if_unused(socket: zmq.Socket[Any], linger: int | None, *, wait_for_owners: bool) -> bool:
    """Close a socket unless another thread may be about to; return whether it is done with."""
    usage: SocketUsage | None = socket.__dict__.get("_argosy_usage")
    if socket.closed:
        return True
    if usage is not None and usage.thread != threading.get_ident():
        if usage.depth or (wait_for_owners and _is_alive(usage.thread)):
            return False
    elif usage is not None and usage.depth:  # by a signal handler, inside an operation
        _defer_close(socket, linger)
        return True
    if usage is not None:
        usage.is_closed_by_shutdown = wait_for_owners
    socket.close(linger)
    return True


def _defer_close(socket: zmq.Socket[Any], linger: int | None) -> None:
    usage: SocketUsage = socket.__dict__["_argosy_usage"]
    usage.linger, usage.is_close_deferred = linger, True
    _deferred.add(socket)
    if not usage.depth:  # it ended meanwhile
        socket.close(linger)


def is_endpoint_closing(endpoint: str) -> bool:
    """Return whether a socket of a handle that is closed, or about to be, had bound an endpoint."""
    wanted = bind_key(endpoint)
    about = [each.__dict__["_argosy_usage"].bound for each in list(_deferred) if not each.closed]
    return is_held_by_closing(endpoint) or any(wanted in map(bind_key, bound) for bound in about)


def _is_alive(ident: int) -> bool:
    return any(thread.ident == ident for thread in threading.enumerate())


# -- guarded methods ------------------------------------------------------------------------


def guarded_methods(kind: Any) -> dict[str, Callable[..., Any]]:
    """Return the methods that make the sockets of a class stop at the end of their handle.

    A class with its own way of receiving or sending keeps it.
    """
    methods: dict[str, Callable[..., Any]] = {
        "bind": _guard_endpoint_call(kind, "bind"),
        "close": _guard_close(kind),
        "connect": _guard_endpoint_call(kind, "connect"),
    }
    for name, event, limit in (
        ("recv", zmq.POLLIN, zmq.RCVTIMEO),
        ("recv_into", zmq.POLLIN, zmq.RCVTIMEO),
        ("send", zmq.POLLOUT, zmq.SNDTIMEO),
    ):
        if getattr(kind, name) is getattr(_RealSocket, name):
            methods[name] = _guard_blocking_call(kind, name, event, limit)
    return methods


# Each method of `kind` is looked up when it is called: it may have been replaced meanwhile, by a test
# or by the port arbiter of legacy agents.


def _guard_endpoint_call(kind: Any, name: str) -> Callable[..., Any]:
    @functools.wraps(getattr(kind, name))
    def guarded(self: zmq.Socket[Any], *args: Any, **options: Any) -> Any:
        usage: SocketUsage = self.__dict__["_argosy_usage"]
        usage.enter(self)
        try:
            result = getattr(kind, name)(self, *args, **options)
            usage.has_endpoint = True
            return result
        finally:
            usage.leave(self)

    return guarded


def _guard_close(kind: Any) -> Callable[..., Any]:
    @functools.wraps(kind.close)
    def close(self: zmq.Socket[Any], linger: int | None = None) -> None:
        usage: SocketUsage = self.__dict__["_argosy_usage"]
        if usage.depth and usage.thread != threading.get_ident():
            _defer_close(self, linger)
            return
        if usage.has_endpoint and not self.closed:
            usage.closing.add(self, usage.bound)
        kind.close(self, linger)

    return close


def _guard_blocking_call(kind: Any, name: str, event: int, limit: int) -> Callable[..., Any]:
    """Return a method that polls the socket and the shutdown signal where pyzmq's would block."""
    if name == "recv":

        @functools.wraps(kind.recv)
        def recv(self: zmq.Socket[Any], flags: int = 0, *args: Any, **options: Any) -> Any:
            return _run_operation(
                self, lambda extra: kind.recv(self, flags | extra, *args, **options), flags, event, limit
            )

        return recv
    if name == "send":

        @functools.wraps(kind.send)
        def send(self: zmq.Socket[Any], data: Any, flags: int = 0, *args: Any, **options: Any) -> Any:
            return _run_operation(
                self,
                lambda extra: kind.send(self, data, flags | extra, *args, **options),
                flags,
                event,
                limit,
            )

        return send

    @functools.wraps(kind.recv_into)
    def recv_into(self: zmq.Socket[Any], buffer: Any, /, *, nbytes: int = 0, flags: int = 0) -> Any:
        return _run_operation(
            self,
            lambda extra: kind.recv_into(self, buffer, nbytes=nbytes, flags=flags | extra),
            flags,
            event,
            limit,
        )

    return recv_into


def _run_operation(
    socket: zmq.Socket[Any], operation: Callable[[int], Any], flags: int, event: int, limit: int
) -> Any:
    usage: SocketUsage = socket.__dict__["_argosy_usage"]
    usage.enter(socket)
    try:
        if flags & zmq.DONTWAIT:
            return operation(0)
        try:
            return operation(zmq.DONTWAIT)
        except zmq.Again:
            return _wait_and_retry(socket, usage.shutdown, operation, event, limit)
    finally:
        usage.leave(socket)


def _wait_and_retry(
    socket: zmq.Socket[Any], shutdown: ShutdownSignal, operation: Callable[[int], Any], event: int, limit: int
) -> Any:
    allowed_ms = socket.get(limit)
    assert isinstance(allowed_ms, int)
    until = time.monotonic() + allowed_ms / 1000
    waited_on: Any = [(socket, event), (shutdown.wait_fd(), zmq.POLLIN)]
    while True:
        left_ms = -1 if allowed_ms < 0 else max(0, round((until - time.monotonic()) * 1000))
        ready = zmq_poll(waited_on, left_ms) if not shutdown.is_set else ()
        if shutdown.is_set:
            raise zmq.ContextTerminated
        try:
            return operation(zmq.DONTWAIT)
        except zmq.Again:
            if not ready and left_ms >= 0:
                raise


def _guarded_poll(self: zmq.Poller, timeout: int | None = None) -> list[tuple[Any, int]]:
    """Poll as pyzmq does, but raise ContextTerminated when the handle of one of the sockets ends."""
    mine: list[tuple[Any, SocketUsage]] = [
        (each, each.__dict__["_argosy_usage"])
        for each, _ in self.sockets
        if isinstance(each, _RealSocket)
        and "_argosy_usage" in each.__dict__
        and each.__dict__["_argosy_usage"].is_affected(each)
    ]
    if not mine:
        return _original_poll(self, timeout)
    entered: list[tuple[Any, SocketUsage]] = []
    try:
        for socket, usage in mine:
            usage.enter(socket)
            entered.append((socket, usage))
        return _poll_until_shutdown(self.sockets, {usage.shutdown for _, usage in mine}, timeout)
    finally:
        for socket, usage in entered:
            usage.leave(socket)


def _poll_until_shutdown(
    sockets: list[tuple[Any, int]], shutdowns: set[ShutdownSignal], timeout: int | None
) -> list[tuple[Any, int]]:
    allowed_ms = -1 if timeout is None or timeout < 0 else int(timeout)
    wait_fds = {end.wait_fd() for end in shutdowns}
    ready: list[tuple[Any, int]] = []
    if not any(
        end.is_set for end in shutdowns
    ):  # after the descriptors were made: they become readable from then on
        ready = zmq_poll([*sockets, *((bell, zmq.POLLIN) for bell in wait_fds)], allowed_ms)
    if any(end.is_set for end in shutdowns):
        raise zmq.ContextTerminated
    return ready


_guarded_poll.__doc__ = _Poller.poll.__doc__
