"""Closed sockets that ZeroMQ has not destroyed yet: they deliver what was sent, and hold what they bound.

The end of a context waits for them; on a context that others share nobody does. libzmq tells of the
destruction of one socket in a single way: by the last event of its monitor. So a socket that has bound or
connected gets a monitor when it is closed. That comes after the last byte has left (or its linger is over)
and after its listeners are closed, of whatever transport.

The end of the monitor that listens has to outlive its socket: libzmq sends that event by a blocking
send, on the thread that destroys the sockets of all. So each is kept here until it has told, whatever
becomes of its lease.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
from collections import deque
from collections.abc import Collection, Iterator
from typing import Any, Final

import zmq
from zmq.backend import Socket as Plain
from zmq.backend import zmq_poll

_SWEPT: Final = 4  # looked at for each that comes, so that they do not pile up where no lease ends

_numbers = itertools.count()
_lock = threading.RLock()  # a signal handler may close a socket while its thread does
_kept: deque[Departure] = deque()
_inherited: list[Departure] = []  # through a fork; to collect them would warn of open sockets


class Departure:
    """One closed socket, until it is destroyed."""

    __slots__ = ("_news", "endpoints", "is_over", "is_watched")

    def __init__(self, socket: zmq.Socket[Any], endpoints: Collection[str]) -> None:
        address = f"inproc://argosy.wire.departure/{next(_numbers)}"
        self._news: Any = Plain(socket.context, zmq.PAIR)
        self.endpoints = frozenset(map(named, endpoints))
        self.is_over = self.is_watched = False
        try:
            self._news.set(zmq.LINGER, 0)
            self._news.connect(address)  # before there is a monitor, which could not send without it
            socket.monitor(address, zmq.EVENT_MONITOR_STOPPED)
        except BaseException:
            self._news.close(0)
            raise

    @property
    def news(self) -> Any:
        """What is readable once the socket is destroyed; only for the thread that watches."""
        return self._news

    def look(self) -> bool:
        """Return whether the socket is destroyed; not while another thread watches."""
        if not self.is_over and self._news.get(zmq.EVENTS) & zmq.POLLIN:
            self.drop()
        return self.is_over

    def drop(self) -> None:
        """Listen no more."""
        self.is_over = True
        self._news.close(0)


class Departures:
    """The closed sockets of one lease."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._mine: deque[Departure] = deque()

    def add(self, socket: zmq.Socket[Any], endpoints: Collection[str]) -> None:
        """Notice a socket that the calling thread is about to close, with what it has bound."""
        if self._pid != os.getpid():
            return  # it was inherited through a fork, and closing it does nothing
        try:
            made = Departure(socket, endpoints)
        except zmq.ZMQError:
            return  # no room for two more sockets: it leaves unseen
        with _lock:
            _kept.append(made)
            self._mine.append(made)
            _sweep()
            while self._mine and self._mine[0].is_over:
                self._mine.popleft()

    def wait(self) -> None:
        """Return when all are destroyed, for which their lingers are waited, for ever where that is -1.

        A signal that is handled ends the wait as it ends that of `zmq.Context.term`.
        """
        with _lock:
            watched = [each for each in self._mine if not each.is_watched and not each.look()]
            for each in watched:
                each.is_watched = True
        try:
            if watched:
                _watch(watched)
        finally:
            with _lock:
                for each in watched:
                    each.is_watched = False


def _watch(left: list[Departure]) -> None:
    left = list(left)
    with _signals() as bell:
        bells: list[Any] = [] if bell < 0 else [(bell, zmq.POLLIN)]
        while left:
            ready = zmq_poll([*((each.news, zmq.POLLIN) for each in left), *bells], -1)
            if any(source == bell for source, _ in ready):
                return
            left = [each for each in left if not each.look()]


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """Yield a descriptor that is readable once Python has a signal to handle; -1 where none is handled.

    That is told to whoever wanted to know before as well, such as the loop of asyncio.
    """
    if threading.current_thread() is not threading.main_thread():
        yield -1
        return
    bell, ringer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = signal.set_wakeup_fd(ringer, warn_on_full_buffer=False)
    try:
        yield bell
    finally:
        signal.set_wakeup_fd(before)
        _hand_on(bell, before)
        os.close(bell)
        os.close(ringer)


def _hand_on(bell: int, before: int) -> None:
    with contextlib.suppress(BlockingIOError):
        told = os.read(bell, 4096)
        if before >= 0:
            os.write(before, told)


def named(endpoint: str) -> str:
    """Return what is taken by who binds an endpoint: of TCP the port, of whatever address."""
    scheme, _, port = endpoint.rpartition(":")
    return f"tcp:{port}" if scheme.startswith("tcp://") else endpoint


def holds(endpoint: str) -> bool:
    """Return whether a socket that is on its way out had bound an endpoint."""
    with _lock:
        for each in _kept:
            if not each.is_watched:
                each.look()
        return any(named(endpoint) in each.endpoints and not each.is_over for each in _kept)


def abandon() -> None:
    """Listen no more, since the context itself is about to end."""
    with _lock:
        for each in [each for each in _kept if not each.is_watched]:
            _kept.remove(each)
            each.drop()


def _sweep() -> None:
    for _ in range(min(_SWEPT, len(_kept))):
        each = _kept.popleft()
        if each.is_watched or not each.look():
            _kept.append(each)


def _renew() -> None:
    global _lock
    _lock = threading.RLock()  # another thread may have held it at the fork
    _inherited.extend(_kept)
    _kept.clear()


os.register_at_fork(after_in_child=_renew)
