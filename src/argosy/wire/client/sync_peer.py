"""Peers for scripts and threads: `connect`, and calls that block.

Each thread has its own connection and runs its events while it waits; the protocol is the
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
from argosy.wire.address_book import AddressResolver
from argosy.wire.client.channel import Channel
from argosy.wire.client.peer import DEFAULT_TIMEOUT_S
from argosy.wire.client.pending_call import EncodedReply, undecodable_reply
from argosy.wire.client.reply_stream import SyncReplyStream, open_stream
from argosy.wire.protocol import codec
from argosy.wire.security.curve_keys import apply_keys
from argosy.wire.trace import trace_id
from argosy.wire.transport.reactor import BlockingReactor, Reactor

_ENDPOINT_SCHEMES = ("tcp://", "ipc://", "inproc://")

# Counts forks: a thread's state from before a fork is its parent's. getpid is a system call.
_fork_count = 0


def _count_fork() -> None:
    global _fork_count
    _fork_count += 1


os.register_at_fork(after_in_child=_count_fork)


class _ReplySlot:
    """The outcome of one blocking call."""

    __slots__ = ("error", "reply")

    def __init__(self) -> None:
        self.reply: EncodedReply | None = None
        self.error: BaseException | None = None

    def done(self) -> bool:
        return self.reply is not None or self.error is not None

    def take_error(self) -> BaseException:
        """Return the error and drop it: its traceback would keep this frame and this slot alive."""
        error, self.error = self.error, None
        assert error is not None
        return error

    def set_result(self, reply: EncodedReply, /) -> None:
        self.reply = reply

    def set_exception(self, error: BaseException, /) -> None:
        self.error = error


class _ThreadChannel:
    """One thread's channel and its reactor; closed when its thread ends."""

    def __init__(self, make_channel: Callable[[BlockingReactor], Channel]) -> None:
        self.reactor = BlockingReactor()
        self.channel = make_channel(self.reactor)
        self.unpackers = codec.UnpackerCache()
        self.fork_count = _fork_count

    def close(self) -> None:
        if self.fork_count == _fork_count:
            self.channel.close()

    __del__ = close


class _ThreadChannels(threading.local):
    """Each thread's channel to one peer, once it has one."""

    current: _ThreadChannel | None = None


class _SyncCaller:
    """Makes calls to one peer from any thread; separate from SyncPeer for the reason given in `peer`.

    make_channel: makes a thread's channel. thread_channels: the existing ones.
    """

    __slots__ = ("_make_channel", "_thread_channels", "_timeout_s")

    def __init__(
        self,
        make_channel: Callable[[BlockingReactor], Channel],
        timeout_s: float,
        thread_channels: _ThreadChannels,
    ) -> None:
        self._make_channel = make_channel
        self._timeout_s = timeout_s
        self._thread_channels = thread_channels

    def call(
        self, method: str, arguments: dict[str, Any], timeout: float | None = None, returns: Any = Any
    ) -> Any:
        thread_channel = self._thread_channels.current
        if thread_channel is None or thread_channel.fork_count != _fork_count:
            thread_channel = self.new_thread_channel()
        slot = _ReplySlot()
        limit_s = self._timeout_s if timeout is None else timeout
        channel = thread_channel.channel
        pending = channel.submit(method, arguments, limit_s, slot, trace_id.get())
        try:
            channel.wait_briefly(pending)
            thread_channel.reactor.run_until(slot.done)
        except BaseException:  # Ctrl-C and the like: cancel the call at the peer
            channel.cancel(pending)
            raise
        if slot.error is not None:
            raise slot.take_error()
        assert slot.reply is not None
        raw, buffers = slot.reply
        try:
            unpacker = thread_channel.unpackers.get(returns)
            return unpacker.unpack(raw, buffers) if buffers else unpacker.decode(raw)
        except codec.DECODE_ERRORS as error:
            raise undecodable_reply(channel.peer, method, error) from error

    def thread_channel(self) -> _ThreadChannel:
        """Return this thread's channel, made at its first use and after a fork."""
        current = self._thread_channels.current
        return self.new_thread_channel() if current is None or current.fork_count != _fork_count else current

    def new_thread_channel(self) -> _ThreadChannel:
        current = self._thread_channels.current = _ThreadChannel(self._make_channel)
        return current

    def close(self) -> None:
        current, self._thread_channels.current = self._thread_channels.current, None
        if current:
            current.close()


class SyncPeer:
    """Another agent, for any number of threads; each call blocks only its own thread."""

    def __init__(
        self,
        make_channel: Callable[[BlockingReactor], Channel],
        timeout_s: float,
        thread_channels: _ThreadChannels | None = None,
    ) -> None:
        self._make_channel = make_channel
        self._timeout_s = timeout_s
        self._thread_channels = thread_channels or _ThreadChannels()
        self._sync_caller = _SyncCaller(make_channel, timeout_s, self._thread_channels)
        self._call = self._sync_caller.call

    def call(
        self, method: str, /, *, timeout: float | None = None, returns: Any = Any, **arguments: Any
    ) -> Any:
        """Call a method, wait, and return its result; keywords and errors as in `Peer.call`."""
        return self._call(method, arguments, timeout, returns)

    def stream(
        self,
        method: str,
        /,
        *,
        first: float | None = None,
        gap: float | None = None,
        returns: Any = Any,
        **arguments: Any,
    ) -> SyncReplyStream:
        """Call a method that yields, and return its items for `for`; as `Peer.stream`."""
        thread_channel = self._sync_caller.thread_channel()
        first_s = self._timeout_s if first is None else first
        gap_s = self._timeout_s if gap is None else gap
        item_buffer = open_stream(thread_channel.channel, method, arguments, first_s, gap_s, returns)
        return SyncReplyStream(item_buffer, thread_channel.reactor.run_until)

    def within(self, timeout_s: float) -> SyncPeer:
        """Return the same peer, on the same connections, with another default time-out."""
        return SyncPeer(self._make_channel, timeout_s, self._thread_channels)

    def close(self) -> None:
        """Close this thread's connection; those of other threads close when their threads end."""
        self._sync_caller.close()

    def __enter__(self) -> SyncPeer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_"):
            raise AttributeError(method)

        call = self._call

        def call_method(**arguments: Any) -> Any:
            return call(method, arguments)

        self.__dict__[method] = call_method  # later accesses bypass `__getattr__`
        return call_method


def connect(
    peer: str, *, timeout: float = DEFAULT_TIMEOUT_S, book: str | os.PathLike[str] | None = None
) -> SyncPeer:
    """Return a peer for scripts and threads; nothing is dialled before the first call.

    peer: an agent's name in the fleet's address book, or an endpoint such as `tcp://127.0.0.1:5595`.
    timeout: seconds until each call ends with a named error, unless the call sets its own.
    book: path of the address book; default the variable ARGOSY_BOOK, which the engine sets.
    Raises InputError: no such agent, or no address book to find it in.
    """
    if peer.startswith(_ENDPOINT_SCHEMES):
        return SyncPeer(lambda reactor: Channel(peer, lambda: peer, reactor), timeout)
    resolver = AddressResolver(_book_path(peer, book))
    resolver.address(peer)
    return named_peer(peer, resolver, timeout_s=timeout)


def named_peer(
    peer: str,
    resolver: AddressResolver,
    client_name: str = "",
    on_health: Callable[[str], object] | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> SyncPeer:
    """Return an agent of the address book; client_name and on_health as in `named_channel`."""
    return SyncPeer(lambda reactor: named_channel(peer, resolver, reactor, client_name, on_health), timeout_s)


def named_channel(
    peer: str,
    resolver: AddressResolver,
    reactor: Reactor,
    client_name: str = "",
    on_health: Callable[[str], object] | None = None,
) -> Channel:
    """Return a channel to an agent of the address book, which gives the endpoint at each dial.

    client_name: the client's name in logs. on_health: called with each new health state of the agent.
    """
    return Channel(
        peer,
        lambda: resolver.endpoint(peer),
        reactor,
        client_name=client_name,
        get_idempotent=lambda: resolver.idempotent_methods(peer),
        apply_keys=partial(apply_keys, resolver, peer),
        on_health=on_health,
    )


def _book_path(peer: str, book: str | os.PathLike[str] | None) -> str | os.PathLike[str]:
    path = book or os.environ.get("ARGOSY_BOOK")
    if not path:
        message = f"`{peer}` is a name, and there is no address book to find it in (ARGOSY_BOOK is not set)"
        raise InputError(
            Fault("connect", "no-address-book", message, "give an endpoint such as `tcp://127.0.0.1:5595`")
        )
    return path
