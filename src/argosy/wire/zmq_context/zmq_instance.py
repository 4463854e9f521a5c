"""`zmq.Context.instance()` as a share of argosy's one context.

Many libraries take `zmq.Context.instance()` by default. Beside argosy's own it would be a
second context with two more threads, and one user ending it would end it for all. So in an agent's process
it is a share, as a context handle is: ending it does not end what others have, and the next call makes a
new one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import zmq
import zmq.sugar.socket
from zmq.sugar.context import Context as _Context

from argosy.wire.zmq_context.closing_sockets import ClosingSockets
from argosy.wire.zmq_context.context_handle import register_socket, shared_context
from argosy.wire.zmq_context.context_shutdown import ShutdownSignal, close_sockets

_lock = threading.Lock()
_instances: list[SharedInstance] = []
_original_instance: list[Callable[..., Any]] = []


class SharedInstance(_Context[Any]):  # not `zmq.Context`, which a test may have patched
    """A shadow of the process's context that can be ended without ending that one."""

    closed: bool
    _closing: ClosingSockets
    _shutdown: ShutdownSignal
    _pid: int

    def __init__(self) -> None:
        super().__init__(shadow=shared_context())
        self.__dict__["_closing"] = ClosingSockets()
        self.__dict__["_shutdown"] = ShutdownSignal()
        self.__dict__["_pid"] = os.getpid()

    def socket(self, *args: Any, **options: Any) -> Any:
        """Open a socket as `zmq.Context.socket` does; raises ZMQError(ENOTSUP) when this has ended."""
        opened = super().socket(*args, **options)
        if isinstance(opened, zmq.sugar.socket.Socket):
            register_socket(opened, self._closing, self._shutdown)
        return opened

    def term(self) -> None:
        """End this share, and wait until its closed sockets are destroyed, as a context handle does.

        A socket that is still open stays its owner's, who may be waiting on it in another thread;
        pyzmq's own `term` would wait for its end.
        """
        if not self.closed:
            self.closed = True
            self._closing.wait()

    def destroy(self, linger: int | None = None) -> None:
        """Close what was opened through this with `linger` in milliseconds, default each socket's own."""
        if self.closed:
            return
        self.closed = True
        if self._pid == os.getpid():
            self._shutdown.trigger()
            close_sockets(list(self._sockets), linger)
            self._closing.wait()


def install_shared_instance() -> None:
    """Make `zmq.Context.instance()` a share of the process's context from now on.

    Nothing changes where pyzmq's own was taken already, nor for its subclasses.
    """
    if _original_instance or getattr(_Context, "_instance", None) is not None:
        return
    _original_instance.append(vars(_Context)["instance"].__func__)
    _Context.instance = classmethod(_shared_instance)  # type: ignore[assignment]


def _shared_instance(kind: Any, io_threads: int = 1) -> Any:
    """Return the context that all callers in this process share."""
    if kind is not _Context:
        return _original_instance[0](kind, io_threads)
    with _lock:
        if not _instances or _instances[0].closed or _instances[0]._pid != os.getpid():
            _instances[:] = [SharedInstance()]
        return _instances[0]
