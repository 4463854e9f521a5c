"""Closed sockets that ZeroMQ has not destroyed yet: they still deliver messages and hold their endpoints.

`term()` of a context waits for them; on a shared context nothing does. libzmq reports the destruction of
a single socket in one way only: the last event of its monitor. So a socket that has bound or connected
gets a monitor when it is closed. The event comes after the last byte has left (or its linger has expired)
and after its listeners are closed, whatever the transport.

The listening end of the monitor must outlive its socket: libzmq sends that event by a blocking
send, on the thread that destroys all sockets. So each is kept here until the event has arrived, whatever
becomes of its context handle.

An endpoint can be bound again only then. Without a closed socket of a handle to wait for, there is no
event, so a bind is tried at growing intervals: bind, close, bind on one port of a shared context failed 88
to 135 times of 200.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final

import zmq
from zmq.backend import Socket as Plain
from zmq.backend import zmq_poll

_SWEEP_COUNT: Final = 4  # checked for each one added, so that they do not pile up where no handle ends

_numbers = itertools.count()
_lock = threading.RLock()  # a signal handler may close a socket while its thread does
_closing: deque[ClosingSocket] = deque()
_inherited: list[ClosingSocket] = []  # from before a fork; collecting them would warn of open sockets


class ClosingSocket:
    """One closed socket, until it is destroyed."""

    __slots__ = ("_monitor", "endpoints", "is_destroyed", "is_watched")

    def __init__(self, socket: zmq.Socket[Any], endpoints: Collection[str]) -> None:
        address = f"inproc://argosy.closing-socket/{next(_numbers)}"
        self._monitor: Any = Plain(socket.context, zmq.PAIR)
        self.endpoints = frozenset(map(bind_key, endpoints))
        self.is_destroyed = self.is_watched = False
        try:
            self._monitor.set(zmq.LINGER, 0)
            self._monitor.connect(address)  # before there is a monitor, which could not send without it
            socket.monitor(address, zmq.EVENT_MONITOR_STOPPED)
        except BaseException:
            self._monitor.close(0)
            raise

    @property
    def monitor(self) -> Any:
        """Readable once the socket is destroyed; only for the thread that watches."""
        return self._monitor

    def check_destroyed(self) -> bool:
        """Return whether the socket is destroyed; not to be called while another thread watches."""
        if not self.is_destroyed and self._monitor.get(zmq.EVENTS) & zmq.POLLIN:
            self.stop_monitoring()
        return self.is_destroyed

    def stop_monitoring(self) -> None:
        """Close the listening end of the monitor."""
        self.is_destroyed = True
        self._monitor.close(0)


class ClosingSockets:
    """The closed sockets of one context handle."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._sockets: deque[ClosingSocket] = deque()

    def add(self, socket: zmq.Socket[Any], endpoints: Collection[str]) -> None:
        """Record a socket that the calling thread is about to close, with the endpoints that it bound."""
        if self._pid != os.getpid():
            return  # inherited through a fork: closing it does nothing
        try:
            closing_socket = ClosingSocket(socket, endpoints)
        except zmq.ZMQError:
            return  # no room for two more sockets: it is not waited for
        with _lock:
            _closing.append(closing_socket)
            self._sockets.append(closing_socket)
            _sweep()
            while self._sockets and self._sockets[0].is_destroyed:
                self._sockets.popleft()

    def wait(self) -> None:
        """Wait until all are destroyed, which takes as long as their lingers (no limit where that is -1).

        A handled signal ends the wait, as it ends that of `zmq.Context.term`.
        """
        with _lock:
            watched = [each for each in self._sockets if not each.is_watched and not each.check_destroyed()]
            for each in watched:
                each.is_watched = True
        try:
            if watched:
                _wait_until_destroyed(watched)
        finally:
            with _lock:
                for each in watched:
                    each.is_watched = False


def _wait_until_destroyed(left: list[ClosingSocket]) -> None:
    left = list(left)
    with _signal_wakeup_fd() as wakeup_fd:
        wakeup: list[Any] = [] if wakeup_fd < 0 else [(wakeup_fd, zmq.POLLIN)]
        while left:
            ready = zmq_poll([*((each.monitor, zmq.POLLIN) for each in left), *wakeup], -1)
            if any(source == wakeup_fd for source, _ in ready):
                return
            left = [each for each in left if not each.check_destroyed()]


@contextlib.contextmanager
def _signal_wakeup_fd() -> Iterator[int]:
    """Yield a descriptor that is readable once Python has a signal to handle; -1 where none is handled.

    The previous wakeup descriptor, such as that of asyncio's loop, is notified as well.
    """
    if threading.current_thread() is not threading.main_thread():
        yield -1
        return
    read_fd, write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    previous_fd = signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
    try:
        yield read_fd
    finally:
        signal.set_wakeup_fd(previous_fd)
        _forward_wakeup(read_fd, previous_fd)
        os.close(read_fd)
        os.close(write_fd)


def _forward_wakeup(read_fd: int, previous_fd: int) -> None:
    with contextlib.suppress(BlockingIOError):
        received = os.read(read_fd, 4096)
        if previous_fd >= 0:
            os.write(previous_fd, received)


def bind_key(endpoint: str) -> str:
    """Return what binding an endpoint occupies: of TCP the port, whatever the address."""
    scheme, _, port = endpoint.rpartition(":")
    return f"tcp:{port}" if scheme.startswith("tcp://") else endpoint


def is_held_by_closing(endpoint: str) -> bool:
    """Return whether a socket that is not destroyed yet had bound an endpoint."""
    with _lock:
        for each in _closing:
            if not each.is_watched:
                each.check_destroyed()
        return any(bind_key(endpoint) in each.endpoints and not each.is_destroyed for each in _closing)


def stop_all_monitoring() -> None:
    """Close all monitors, since the context itself is about to end."""
    with _lock:
        for each in [each for each in _closing if not each.is_watched]:
            _closing.remove(each)
            each.stop_monitoring()


def _sweep() -> None:
    for _ in range(min(_SWEEP_COUNT, len(_closing))):
        each = _closing.popleft()
        if each.is_watched or not each.check_destroyed():
            _closing.append(each)


def _reset_after_fork() -> None:
    global _lock
    _lock = threading.RLock()  # another thread may have held it at the fork
    _inherited.extend(_closing)
    _closing.clear()


os.register_at_fork(after_in_child=_reset_after_fork)


MIN_WAIT_S = 0.0005
MAX_WAIT_S = 0.02


def wait_until_free(endpoints: Iterable[str], limit_s: float = 1.0) -> bool:
    """Wait until every TCP or ipc endpoint can be bound again; return whether that was in time."""
    left = list(endpoints)

    def is_all_free() -> bool:
        left[:] = [each for each in left if not _is_free(each)]
        return not left

    return wait_until(is_all_free, limit_s)


def wait_until(condition: Callable[[], bool], limit_s: float = 1.0) -> bool:
    """Check a condition at growing intervals until it holds; return whether that was in time."""
    until = time.monotonic() + limit_s
    pause_s = MIN_WAIT_S
    while not condition():
        if time.monotonic() >= until:
            return False
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, MAX_WAIT_S)
    return True


def _is_free(endpoint: str) -> bool:
    if endpoint.startswith("tcp://"):
        host, _, port = endpoint[6:].rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return _can_bind(family, ("" if host == "*" else host, int(port)))
    if endpoint.startswith("ipc://@"):
        return _can_bind(socket.AF_UNIX, "\0" + endpoint[7:])
    return True  # binding a path replaces it, whoever had it


def _can_bind(family: int, address: tuple[str, int] | str) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        # As libzmq does: without it, connections in TIME_WAIT would look like a listener.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(address)
            trial.listen(1)
        except OSError:
            return False
    return True
