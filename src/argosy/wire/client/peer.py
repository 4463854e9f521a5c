"""A peer for async code: its methods, called by name.

answer = await peer.call("translate", text="hello", to="fil", timeout=2.0)
answer = await peer.translate(text="hello", to="fil")
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from argosy.wire.client.channel import Channel
from argosy.wire.client.pending_call import EncodedReply, undecodable_reply
from argosy.wire.client.reply_stream import ReplyStream, open_stream
from argosy.wire.protocol import codec
from argosy.wire.trace import trace_id

DEFAULT_TIMEOUT_S: Final = 10.0


class _AsyncCaller:
    """Makes calls on one channel from the coroutines of one loop.

    Separate from Peer, which has `__getattr__`: attribute access on such an object is slow.
    """

    __slots__ = ("_channel", "_new_future", "_timeout_s")

    def __init__(self, channel: Channel, timeout_s: float) -> None:
        self._channel = channel
        self._timeout_s = timeout_s
        self._new_future: Callable[[], asyncio.Future[EncodedReply]] | None = None

    async def call(
        self, method: str, arguments: dict[str, Any], timeout: float | None = None, returns: Any = Any
    ) -> Any:
        # `get_running_loop` makes a getpid system call at each use in Python 3.11.
        new_future = self._new_future
        if new_future is None:
            new_future = self._new_future = asyncio.get_running_loop().create_future
        future = new_future()
        limit_s = self._timeout_s if timeout is None else timeout
        pending = self._channel.submit(method, arguments, limit_s, future, trace_id.get())
        try:
            raw, buffers = await future
        except asyncio.CancelledError:
            self._channel.cancel(pending)
            raise
        try:
            unpacker = codec.unpackers.get(returns)
            if buffers:
                return unpacker.unpack(raw, buffers)
            decode = unpacker.decode
            return decode(raw)
        except codec.DECODE_ERRORS as error:
            raise undecodable_reply(self._channel.peer, method, error) from error


class Peer:
    """Another agent, for coroutines of one loop; many calls may be in flight at once."""

    def __init__(self, channel: Channel, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._channel = channel
        self._timeout_s = timeout_s
        self._call = _AsyncCaller(channel, timeout_s).call

    def call(
        self, method: str, /, *, timeout: float | None = None, returns: Any = Any, **arguments: Any
    ) -> Awaitable[Any]:
        """Call a method; the awaited result is its reply.

        `timeout` and `returns` are argosy's own. A method with parameters of these names is called as
        `peer.within(2.0).method(timeout=…)`: there every keyword is an argument.

        timeout: seconds until the call ends with a named error; default the peer's own.
        returns: the type to decode the result as.
        Raises an error of `argosy.wire.errors`; TypeError when an argument has no encoding.
        """
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
    ) -> ReplyStream:
        """Call a method that yields, and return its items for `async for`.

        first, gap: seconds until the first item, and between two; default the peer's time-out.
        returns: the type to decode each item as.
        """
        first_s = self._timeout_s if first is None else first
        gap_s = self._timeout_s if gap is None else gap
        return ReplyStream(open_stream(self._channel, method, arguments, first_s, gap_s, returns))

    def within(self, timeout_s: float) -> Peer:
        """Return the same peer with another default time-out."""
        return Peer(self._channel, timeout_s)

    def statistics(self) -> dict[str, int]:
        """Return counts: calls waiting and in flight, late replies, connections used."""
        return self._channel.statistics()

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        if method.startswith("_"):
            raise AttributeError(method)

        call = self._call

        def call_method(**arguments: Any) -> Awaitable[Any]:
            return call(method, arguments)

        self.__dict__[method] = call_method  # later accesses bypass `__getattr__`
        return call_method

    def __repr__(self) -> str:
        return f"<Peer {self._channel.peer}>"
