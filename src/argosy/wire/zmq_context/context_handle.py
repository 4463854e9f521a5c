"""The one ZeroMQ context of a process, and handles on it for code that used to own a context.

A context has an I/O thread, a reaper thread and descriptors; a process needs one. Existing code,
however, terminates the context it made, and `term()` on a shared context would wait for the sockets of
others without limit. So `context()` returns a handle that is used like a context: its `term()`, `destroy()`
and `with` close only what was opened through it. Other threads blocked on these sockets
get ContextTerminated, as from libzmq (see `context_shutdown`).

After a fork the child drops the context: its I/O thread does not exist there, and
messages sent through it would be lost without an error.
"""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

import zmq
import zmq.sugar.context
import zmq.sugar.socket

from argosy.wire.zmq_context.closing_sockets import (
    ClosingSockets,
    stop_all_monitoring,
    wait_until,
    wait_until_free,
)
from argosy.wire.zmq_context.context_shutdown import (
    ShutdownSignal,
    attach_shutdown,
    close_sockets,
    guarded_methods,
    is_endpoint_closing,
)

# Not `zmq.Context`: this module may be loaded while a test has that patched.
_RealContext = zmq.sugar.context.Context
_RealSocket = zmq.sugar.socket.Socket
_lock = threading.Lock()
_registration_lock = threading.RLock()  # a signal handler may end a handle while its thread opens a socket
_shared: dict[type, zmq.Context[Any]] = {}
# Contexts inherited through a fork are kept referenced: collecting one would try to close it.
_inherited: list[zmq.Context[Any]] = []

# A context has room for 1023 sockets; here each closing socket has two more beside it for a moment.
_MAX_SOCKETS: Final = 4095


def shared_context() -> zmq.Context[Any]:
    """Return the process's context itself, made at first use; it must not be terminated."""
    return _shared_of(_RealContext)


def _shared_of(kind: type[zmq.Context[Any]]) -> zmq.Context[Any]:
    found = _shared.get(kind)
    if found is None or found.closed:
        with _lock:
            found = _shared.get(kind)
            if found is None or found.closed:
                found = _make_context(kind)
                _shared[kind] = found
    return found


def _make_context(kind: type[zmq.Context[Any]]) -> zmq.Context[Any]:
    new_context = kind(1)
    new_context.set(zmq.MAX_SOCKETS, min(_MAX_SOCKETS, new_context.get(zmq.SOCKET_LIMIT)))
    return new_context


def _drop_after_fork() -> None:
    global _lock, _registration_lock
    _lock, _registration_lock = (
        threading.Lock(),
        threading.RLock(),
    )  # another thread may have held them at the fork
    _inherited.extend(_shared.values())
    _shared.clear()


os.register_at_fork(after_in_child=_drop_after_fork)


def terminate_shared(limit_s: float = 1.0) -> bool:
    """Terminate the process's context at the end of a program; return whether it ended in time.

    Waits at most `limit_s`, since an open socket would block it without limit.
    """
    held = [_shared.pop(kind) for kind in list(_shared)]
    terminator = threading.Thread(target=_term_all, args=(held,), name="argosy-term", daemon=True)
    if held:
        terminator.start()
        terminator.join(limit_s)
    return not terminator.is_alive()


def _term_all(contexts: list[zmq.Context[Any]]) -> None:
    stop_all_monitoring()
    for each in contexts:
        each.term()


def context(io_threads: int | None = None) -> Any:
    """Return a handle on the process's context, used as `zmq.Context()`.

    `zmq.Context` is looked up at each call, so a test that patches it gets its own object back.
    io_threads: accepted and ignored; a process has one I/O thread.
    """
    kind = zmq.Context
    if not (isinstance(kind, type) and issubclass(kind, _RealContext)):
        return kind() if io_threads is None else kind(io_threads)
    return ContextHandle(_shared_of(kind))


def _wait_for_release(endpoint: str) -> None:
    """Wait until an endpoint that a closed socket of a handle still holds can be bound, 1 s at most."""
    if is_endpoint_closing(endpoint):
        if endpoint.startswith("inproc://"):
            wait_until(lambda: not is_endpoint_closing(endpoint))
        else:
            wait_until_free([endpoint])


@functools.cache
def _guarded_class(kind: Any) -> type[zmq.Socket[Any]]:
    """Return the class of sockets that stop at the end of their handle, and record what they bind."""
    guarded = guarded_methods(kind)

    def bind(self: zmq.Socket[Any], address: str) -> Any:
        try:
            result = guarded["bind"](self, address)
        except zmq.ZMQError as error:
            if error.errno != zmq.EADDRINUSE:
                raise
            # Bound again in any case: a closed socket may have been destroyed since the first attempt.
            _wait_for_release(address)
            result = guarded["bind"](self, address)
        last = self.get(zmq.LAST_ENDPOINT)
        assert isinstance(last, bytes)
        self.__dict__["_argosy_usage"].bound.add(last.decode())
        return result

    bind.__doc__ = kind.bind.__doc__
    identity = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "_repr_cls": "zmq.Socket"}
    return type(kind.__name__, (kind,), {**identity, **guarded, "bind": bind})


def register_socket(opened: zmq.Socket[Any], closing: ClosingSockets, shutdown: ShutdownSignal) -> None:
    """Attach a socket to `shutdown`; record it in `closing` when it is closed."""
    attach_shutdown(opened, shutdown, closing)
    socket_class: Any = type(opened)
    object.__setattr__(opened, "__class__", _guarded_class(socket_class))


class ContextHandle:
    """One user's handle on the shared context; other attributes are the context's own."""

    def __init__(self, shared: zmq.Context[Any]) -> None:
        self._context = shared
        self._sockets: weakref.WeakSet[zmq.Socket[Any]] = weakref.WeakSet()
        self._closing = ClosingSockets()
        self._shutdown = ShutdownSignal()
        self._closed = False
        self._pid = os.getpid()

    @property
    def closed(self) -> bool:
        """True after `term` or `destroy` of this handle."""
        return self._closed

    def socket(
        self, socket_type: int, socket_class: Callable[..., Any] | None = None, **options: Any
    ) -> zmq.Socket[Any]:
        """Open a socket that this handle will close; raises ZMQError(ENOTSUP) when it has ended."""
        if self._closed:
            raise zmq.ZMQError(zmq.ENOTSUP)
        if self._pid != os.getpid():  # the handle was inherited through a fork
            self._context, self._pid = _shared_of(type(self._context)), os.getpid()
            self._sockets, self._closing, self._shutdown = (
                weakref.WeakSet(),
                ClosingSockets(),
                ShutdownSignal(),
            )
        if (
            socket_class is not None
        ):  # a test that patches `socket` sees the arguments that it was called with
            options["socket_class"] = socket_class
        opened: zmq.Socket[Any] = self._context.socket(socket_type, **options)
        if isinstance(opened, _RealSocket):
            register_socket(opened, self._closing, self._shutdown)
            opened.__dict__["_argosy_handle"] = (
                self  # so that the handle is collected after the last of its sockets
            )
            with _registration_lock:
                if self.closed:  # ended meanwhile by another thread
                    opened.close(0)
                    raise zmq.ZMQError(zmq.ENOTSUP)
                self._sockets.add(opened)
        return opened

    def term(self) -> None:
        """End this handle: wake threads blocked on its sockets, close these, and wait for their destruction.

        Live threads that used a socket last have 1 s to close it themselves, as their next operation
        raises `ContextTerminated`; then it is closed. Sent messages are waited for as long as
        their linger allows, by default without limit; a handled signal ends the wait.
        """
        self._close(None, wait_for_owners=True)

    def destroy(self, linger: int | None = None) -> None:
        """Close what this handle opened with the given linger in milliseconds, default each socket's own.

        A socket on which another thread waits is woken and closed by that thread. Waits as `term`.
        """
        self._close(linger, wait_for_owners=False)

    def _close(self, linger: int | None, *, wait_for_owners: bool) -> None:
        with _registration_lock:
            if self._closed:
                return
            self._closed = True
            opened = list(self._sockets)
        if self._pid != os.getpid():
            return
        self._shutdown.trigger()
        close_sockets(opened, linger, wait_for_owners=wait_for_owners)
        self._closing.wait()

    def __del__(self) -> None:
        """End as a collected context does; at interpreter exit this does nothing."""
        if not getattr(zmq.sugar.context, "_exiting", False):
            self.destroy()

    def __enter__(self) -> ContextHandle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.destroy()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def __repr__(self) -> str:
        state = "ended" if self._closed else f"{len(self._sockets)} sockets"
        return f"<argosy.wire.context, {state}>"
