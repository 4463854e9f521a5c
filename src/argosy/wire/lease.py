"""The one ZeroMQ context of a process, and leases on it for code that used to own one.

A context has an I/O thread, a reaper thread and descriptors; a process needs one. Old code,
however, terminates what it made: `term()` on a shared context would wait for the sockets of
strangers, for ever. So `context()` returns a lease that looks like a context and whose
`term()`, `destroy()` and `with` close what was opened through it, and nothing else; other threads
that are on these sockets learn of it as libzmq tells them (see `argosy.wire.ending`).

After a fork the context is dropped in the child: its I/O thread does not exist there, and
sends through it would vanish without an error.
"""

from __future__ import annotations

import atexit
import functools
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Final

import zmq
import zmq.sugar.context
import zmq.sugar.socket

from argosy.wire.ending import End, attend, attending, close_all, is_left_to_user
from argosy.wire.port import wait_free

# Not by `zmq.Context`: this module may be loaded while a test has that patched.
_RealContext = zmq.sugar.context.Context
_RealSocket = zmq.sugar.socket.Socket
_lock = threading.Lock()
_enlisting = threading.RLock()  # a signal handler may end a lease while its thread opens a socket
_shared: dict[type, zmq.Context[Any]] = {}
# Contexts inherited through a fork are kept referenced: collecting one would try to close it.
_inherited: list[zmq.Context[Any]] = []

# By port: the endpoint that a lease's socket bound last, and that socket.
_held: dict[int, tuple[str, weakref.ref[zmq.Socket[Any]]]] = {}

DELIVERY_S: Final = 5.0
_were_ended = False


def shared_context() -> zmq.Context[Any]:
    """Return the process's context itself, made at first use; never terminate it."""
    return _shared_of(_RealContext)


def _shared_of(kind: type[zmq.Context[Any]]) -> zmq.Context[Any]:
    found = _shared.get(kind)
    if found is None or found.closed:
        with _lock:
            found = _shared.get(kind)
            if found is None or found.closed:
                found = _shared[kind] = kind(1)
    return found


def _drop_after_fork() -> None:
    global _lock, _enlisting
    _lock, _enlisting = threading.Lock(), threading.RLock()  # another thread may have held them at the fork
    _inherited.extend(_shared.values())
    _shared.clear()
    _held.clear()


os.register_at_fork(after_in_child=_drop_after_fork)


def release_shared(limit_s: float = 1.0) -> bool:
    """Terminate the process's context at the end of a program; tell whether it ended in time.

    Waits at most `limit_s`, since a socket that someone left open would hold it for ever.
    """
    held = [_shared.pop(kind) for kind in list(_shared)]
    ending = threading.Thread(target=_term_all, args=(held,), name="argosy-term", daemon=True)
    if not held:
        return True
    try:
        ending.start()
    except RuntimeError:  # at the end of the program 3.12 starts no thread
        return _term_here(held, limit_s)
    ending.join(limit_s)
    return not ending.is_alive()


def _term_all(contexts: list[zmq.Context[Any]]) -> None:
    for each in contexts:
        each.term()


def _term_here(contexts: list[zmq.Context[Any]], limit_s: float) -> bool:
    """Terminate contexts in the main thread; a signal ends the wait in time, and leaves the rest undone."""
    until_s = time.monotonic() + limit_s
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    # Again and again: the first could come just before the wait.
    signal.setitimer(signal.ITIMER_REAL, limit_s, 0.05)
    try:
        _term_all(contexts)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before or signal.SIG_DFL)
    return time.monotonic() < until_s


@atexit.register
def _deliver_rest() -> None:
    """Let what was sent before a `term()` leave before the program ends, as it did with an own context.

    Only for programs that ended their leases and closed their sockets: the others never waited.
    """
    if _were_ended and all(s.closed for c in _shared.values() for s in list(c._sockets)):
        release_shared(DELIVERY_S)


def context(io_threads: int | None = None) -> Any:
    """Return a lease on the process's context, to be used as `zmq.Context()` was.

    `zmq.Context` is looked up at each call, so a test that patches it gets its own object back.
    io_threads: accepted and ignored; one thread serves a process.
    """
    kind = zmq.Context
    if not (isinstance(kind, type) and issubclass(kind, _RealContext)):
        return kind() if io_threads is None else kind(io_threads)
    return Lease(_shared_of(kind))


def _port_of(endpoint: str) -> int | None:
    scheme, _, port = endpoint.rpartition(":")
    return int(port) if scheme.startswith("tcp://") and port.isdecimal() else None


def _wait_for_ours(address: str) -> bool:
    """Wait for a port that a closed socket of a lease still holds; tell whether it is one and is free now.

    An own context had freed it when it ended, and it may have ended by being collected.
    """
    endpoint, holder = _held.get(_port_of(address) or 0, ("", None))
    socket = holder() if holder is not None else None
    if not endpoint or not (socket is None or socket.closed or is_left_to_user(socket)):
        return False
    return wait_free([endpoint])


@functools.cache
def _noting(kind: Any) -> type[zmq.Socket[Any]]:
    """Return the class of sockets that notice the end of their lease, and note what they bind.

    What they bind is waited for at the end until it is free again.
    """
    attentive = attending(kind)

    def bind(self: zmq.Socket[Any], address: str) -> Any:
        try:
            result = attentive["bind"](self, address)
        except zmq.ZMQError as error:
            if error.errno != zmq.EADDRINUSE or not _wait_for_ours(address):
                raise
            result = attentive["bind"](self, address)
        last = self.get(zmq.LAST_ENDPOINT)
        assert isinstance(last, bytes)
        self.__dict__["_lease_bound"].add(last.decode())
        if (port := _port_of(last.decode())) is not None:
            _held[port] = (last.decode(), weakref.ref(self))
        return result

    bind.__doc__ = kind.bind.__doc__
    shown = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "_repr_cls": "zmq.Socket"}
    return type(kind.__name__, (kind,), {**shown, **attentive, "bind": bind})


def enlist(opened: zmq.Socket[Any], bound: set[str], end: End) -> None:
    """Let a socket notice `end`, add what it binds to `bound`, and wait for ports that closed ones hold."""
    opened.__dict__["_lease_bound"] = bound
    attend(opened, end)
    made: Any = type(opened)
    object.__setattr__(opened, "__class__", _noting(made))


def endpoints_of(sockets: Iterable[zmq.Socket[Any]]) -> set[str]:
    """Return what sockets that are still open have bound or connected last."""
    return {str(each.get_string(zmq.LAST_ENDPOINT)) for each in sockets if not each.closed}


class Lease:
    """A user's share of the context: everything that is not written here is the context's own."""

    def __init__(self, shared: zmq.Context[Any]) -> None:
        self._context = shared
        self._sockets: weakref.WeakSet[zmq.Socket[Any]] = weakref.WeakSet()
        self._bound: set[str] = set()
        self._end = End()
        self._closed = False
        self._pid = os.getpid()

    @property
    def closed(self) -> bool:
        """True after `term` or `destroy` of this lease."""
        return self._closed

    def socket(
        self, socket_type: int, socket_class: Callable[..., Any] | None = None, **options: Any
    ) -> zmq.Socket[Any]:
        """Open a socket that this lease will close; raises ZMQError(ENOTSUP) when it has ended."""
        if self._closed:
            raise zmq.ZMQError(zmq.ENOTSUP)
        if self._pid != os.getpid():  # the lease was inherited through a fork
            self._context, self._pid = _shared_of(type(self._context)), os.getpid()
            self._sockets, self._bound, self._end = weakref.WeakSet(), set(), End()
        if socket_class is not None:  # a test that patches `socket` sees the arguments it was given
            options["socket_class"] = socket_class
        opened: zmq.Socket[Any] = self._context.socket(socket_type, **options)
        if isinstance(opened, _RealSocket):
            enlist(opened, self._bound, self._end)
            with _enlisting:
                if self.closed:  # meanwhile, by another thread
                    opened.close(0)
                    raise zmq.ZMQError(zmq.ENOTSUP)
                self._sockets.add(opened)
        return opened

    def term(self) -> None:
        """End this lease: wake who waits on its sockets, close them, and wait until their ports are free.

        Threads that are alive and used a socket last have 1 s to close it their own way, as they hear
        `ContextTerminated` from its next operation on; then it is closed. The ports have 1 s too.
        """
        self._finish(None, is_asked=True)

    def destroy(self, linger: int | None = None) -> None:
        """Close what this lease opened with the given linger in milliseconds, default each socket's own.

        A socket on which another thread waits is closed by that thread, once it was woken.
        """
        self._finish(linger, is_asked=False)

    def _finish(self, linger: int | None, *, is_asked: bool) -> None:
        global _were_ended
        with _enlisting:
            if self._closed:
                return
            self._closed = _were_ended = True
            opened = list(self._sockets)
        if self._pid != os.getpid():
            return
        self._end.come()
        close_all(opened, linger, is_asked=is_asked)
        wait_free(self._bound - endpoints_of(opened))

    def __del__(self) -> None:
        """A context that was collected delivered what its closed sockets had still to send."""
        global _were_ended
        if not self._closed:
            _were_ended = True

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.destroy()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def __repr__(self) -> str:
        state = "ended" if self._closed else f"{len(self._sockets)} sockets"
        return f"<argosy.wire lease, {state}>"
