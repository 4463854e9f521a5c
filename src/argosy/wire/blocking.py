"""Peers for plain scripts and threads: `connect`, and calls that block.

Each thread has a lane of its own, and turns its own events while it waits; the protocol is the
same `Channel` that asyncio uses.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any

from argosy.fault import Fault, InputError
from argosy.wire import codec
from argosy.wire.book import Directory
from argosy.wire.call import Answer, unreadable
from argosy.wire.channel import Channel
from argosy.wire.keys import secure
from argosy.wire.peer import DEFAULT_TIMEOUT_S
from argosy.wire.reactor import BlockingReactor, Reactor
from argosy.wire.stream import Inbox, SyncStream
from argosy.wire.trace import trace_id

_WHERE = ("tcp://", "ipc://", "inproc://")

# Counts forks: what a thread had before one is its parent's. Asking for the pid is a system call.
_life = 0


def _begin_life() -> None:
    global _life
    _life += 1


os.register_at_fork(after_in_child=_begin_life)


class _Slot:
    """Where one blocking call ends."""

    __slots__ = ("answer", "error")

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self.error: BaseException | None = None

    def done(self) -> bool:
        return self.answer is not None or self.error is not None

    def take_error(self) -> BaseException:
        """Hand the error over: kept here, its traceback would keep this frame, and this slot, alive."""
        error, self.error = self.error, None
        assert error is not None
        return error

    def set_result(self, answer: Answer, /) -> None:
        self.answer = answer

    def set_exception(self, error: BaseException, /) -> None:
        self.error = error


class _Line:
    """One thread's channel and the reactor that turns it; closed when its thread ends."""

    def __init__(self, make: Callable[[BlockingReactor], Channel]) -> None:
        self.reactor = BlockingReactor()
        self.channel = make(self.reactor)
        self.unpackers = codec.Unpackers()
        self.life = _life

    def close(self) -> None:
        if self.life == _life:
            self.channel.close()

    __del__ = close


class _Lines(threading.local):
    """Each thread's line to one peer, once it has one."""

    line: _Line | None = None


class _Asker:
    """Asks one peer from any thread; apart from SyncPeer for the reason that `peer` gives.

    make: makes a thread's channel. lines: those that there are.
    """

    __slots__ = ("_lines", "_make", "_timeout_s")

    def __init__(self, make: Callable[[BlockingReactor], Channel], timeout_s: float, lines: _Lines) -> None:
        self._make = make
        self._timeout_s = timeout_s
        self._lines = lines

    def ask(
        self, method: str, arguments: dict[str, Any], timeout: float | None = None, returns: Any = Any
    ) -> Any:
        line = self._lines.line
        if line is None or line.life != _life:
            line = self.new_line()
        slot = _Slot()
        limit_s = self._timeout_s if timeout is None else timeout
        channel = line.channel
        call = channel.submit(method, arguments, limit_s, slot, trace_id.get())
        try:
            channel.wait_briefly(call)
            line.reactor.run_until(slot.done)
        except BaseException:  # Ctrl-C and the like: the peer need not go on
            channel.cancel(call)
            raise
        if slot.error is not None:
            raise slot.take_error()
        assert slot.answer is not None
        raw, buffers = slot.answer
        try:
            unpacker = line.unpackers.of(returns)
            return unpacker.unpack(raw, buffers) if buffers else unpacker.decode(raw)
        except codec.UNREADABLE as error:
            raise unreadable(channel.peer, method, error) from error

    def line(self) -> _Line:
        """Return this thread's line, made at its first use and after a fork."""
        line = self._lines.line
        return self.new_line() if line is None or line.life != _life else line

    def new_line(self) -> _Line:
        line = self._lines.line = _Line(self._make)
        return line

    def close(self) -> None:
        line, self._lines.line = self._lines.line, None
        if line:
            line.close()


class SyncPeer:
    """Another agent, for any number of threads; each call blocks its own thread only."""

    def __init__(
        self,
        make: Callable[[BlockingReactor], Channel],
        timeout_s: float,
        lines: _Lines | None = None,
    ) -> None:
        self._make = make
        self._timeout_s = timeout_s
        self._lines = lines or _Lines()
        self._asker = _Asker(make, timeout_s, self._lines)
        self._ask = self._asker.ask

    def call(
        self, method: str, /, *, timeout: float | None = None, returns: Any = Any, **arguments: Any
    ) -> Any:
        """Ask for one method, wait, and return its result; keywords and errors as in `Peer.call`."""
        return self._ask(method, arguments, timeout, returns)

    def stream(
        self,
        method: str,
        /,
        *,
        first: float | None = None,
        gap: float | None = None,
        returns: Any = Any,
        **arguments: Any,
    ) -> SyncStream:
        """Ask for a method that yields, and return its items for `for`; as `Peer.stream`."""
        line = self._asker.line()
        first_s = self._timeout_s if first is None else first
        inbox = Inbox(line.channel, self._timeout_s if gap is None else gap, returns)
        inbox.call = line.channel.submit(method, arguments, first_s, inbox, trace_id.get(), inbox)
        return SyncStream(inbox, line.reactor.run_until)

    def within(self, timeout_s: float) -> SyncPeer:
        """Return the same peer, on the same lanes, with another default time-out."""
        return SyncPeer(self._make, timeout_s, self._lines)

    def close(self) -> None:
        """Close this thread's lane; those of other threads close when their threads end."""
        self._asker.close()

    def __enter__(self) -> SyncPeer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_"):
            raise AttributeError(method)

        ask_for = self._ask

        def ask(**arguments: Any) -> Any:
            return ask_for(method, arguments)

        self.__dict__[method] = ask  # found at once from now on
        return ask


def connect(
    peer: str, *, timeout: float = DEFAULT_TIMEOUT_S, book: str | os.PathLike[str] | None = None
) -> SyncPeer:
    """Return a peer for scripts and threads; nothing is dialled before the first call.

    peer: an agent's name in the fleet's book, or an endpoint such as `tcp://127.0.0.1:5595`.
    timeout: seconds after which each call ends by name, unless the call says otherwise.
    book: path of the book; default the variable ARGOSY_BOOK, which the engine sets.
    Raises InputError: no such agent, or no book to find it in.
    """
    if peer.startswith(_WHERE):
        return SyncPeer(lambda reactor: Channel(peer, lambda: peer, reactor), timeout)
    directory = Directory(_book_path(peer, book))
    directory.entry(peer)
    return named_peer(peer, directory, timeout_s=timeout)


def named_peer(
    peer: str,
    directory: Directory,
    caller: str = "",
    heard: Callable[[str], object] | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> SyncPeer:
    """Return an agent of the book; caller and heard as in `named_channel`."""
    return SyncPeer(lambda reactor: named_channel(peer, directory, reactor, caller, heard), timeout_s)


def named_channel(
    peer: str,
    directory: Directory,
    reactor: Reactor,
    caller: str = "",
    heard: Callable[[str], object] | None = None,
) -> Channel:
    """Return a channel to an agent of the book, dialled where the book says at that time.

    caller: who asks, for people. heard: told each new word about how the agent is.
    """
    return Channel(
        peer,
        lambda: directory.endpoint(peer),
        reactor,
        caller=caller,
        idempotent=lambda: directory.idempotent(peer),
        secure=partial(secure, directory, peer),
        heard=heard,
    )


def _book_path(peer: str, book: str | os.PathLike[str] | None) -> str | os.PathLike[str]:
    path = book or os.environ.get("ARGOSY_BOOK")
    if not path:
        message = f"`{peer}` is a name, and there is no book to find it in (ARGOSY_BOOK is not set)"
        raise InputError(
            Fault("connect", "no-book", message, "give an endpoint such as `tcp://127.0.0.1:5595`")
        )
    return path
