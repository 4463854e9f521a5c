"""Streamed replies for their consumer: items, credit, a named error at the end.

The peer may send 256 KiB beyond what was taken; an item costs at least 1 KiB, which bounds a flood
of tiny items too. Credit is granted in halves of that, not item by item.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from argosy.wire.client.channel import Channel
from argosy.wire.client.pending_call import INITIAL_CREDIT_BYTES, EncodedReply, PendingCall, undecodable_reply
from argosy.wire.protocol import codec
from argosy.wire.protocol.codec import MIN_ITEM_COST_BYTES
from argosy.wire.trace import trace_id

_CREDIT_RETURN_BYTES: Final = INITIAL_CREDIT_BYTES // 2


def item_cost_bytes(reply: EncodedReply) -> int:
    """Return the credit that an item costs."""
    raw, buffers = reply
    return max(MIN_ITEM_COST_BYTES, len(memoryview(raw)) + sum(b.nbytes for b in buffers))


class ItemBuffer:
    """Target and receiver of one stream: the items not taken yet, and how it ended."""

    def __init__(self, channel: Channel, gap_s: float, item_type: Any) -> None:
        self.gap_us = int(gap_s * 1e6)
        self.wake: Callable[[], object] | None = None
        self.call: PendingCall | None = None
        self._channel = channel
        self._unpack = codec.Unpacker(item_type).unpack
        self._items: deque[EncodedReply] = deque()
        self._unreturned_credit = 0
        self._is_finished = False
        self._error: BaseException | None = None

    def done(self) -> bool:
        return self._is_finished

    def set_result(self, reply: EncodedReply, /) -> None:
        self._is_finished = True
        self._wake()

    def set_exception(self, error: BaseException, /) -> None:
        self._error = error
        self._is_finished = True
        self._wake()

    def add_item(self, reply: EncodedReply, /) -> None:
        self._items.append(reply)
        self._wake()

    def has_backlog(self) -> bool:
        return bool(self._items)

    def is_ready(self) -> bool:
        """Return whether `take` would return or raise."""
        return bool(self._items) or self._is_finished

    def take(self) -> Any:
        """Return the next item; raises the stream's error, or StopIteration at its end."""
        if not self._items:
            error, self._error = self._error, None
            raise error or StopIteration
        reply = self._items.popleft()
        self._unreturned_credit += item_cost_bytes(reply)
        if self._unreturned_credit >= _CREDIT_RETURN_BYTES and self.call:
            self._channel.grant_credit(self.call, self._unreturned_credit)
            self._unreturned_credit = 0
        try:
            return self._unpack(*reply)
        except codec.DECODE_ERRORS as error:
            method = self.call.method if self.call else ""
            raise undecodable_reply(self._channel.peer, method, error) from error

    def close(self) -> None:
        """Stop taking items: the peer's handler is cancelled."""
        if self.call and not self._is_finished:
            self._is_finished = True
            self._channel.cancel(self.call)
        self._items.clear()

    def _wake(self) -> None:
        wake, self.wake = self.wake, None
        if wake:
            wake()


def open_stream(
    channel: Channel, method: str, arguments: Mapping[str, Any], first_s: float, gap_s: float, item_type: Any
) -> ItemBuffer:
    """Submit a request whose reply is a stream; raises as `Channel.submit`."""
    item_buffer = ItemBuffer(channel, gap_s, item_type)
    item_buffer.call = channel.submit(method, arguments, first_s, item_buffer, trace_id.get(), item_buffer)
    return item_buffer


class ReplyStream:
    """A streamed reply for `async for`; leaving it early cancels its source.

    Use `async with` (or `aclose`) where the loop may be left early.
    """

    def __init__(self, item_buffer: ItemBuffer) -> None:
        self._item_buffer = item_buffer

    def __aiter__(self) -> ReplyStream:
        return self

    async def __anext__(self) -> Any:
        while not self._item_buffer.is_ready():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._item_buffer.wake = lambda waiter=waiter: waiter.done() or waiter.set_result(None)
            await waiter
        try:
            return self._item_buffer.take()
        except StopIteration:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        """Stop taking items."""
        self._item_buffer.close()

    async def __aenter__(self) -> ReplyStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._item_buffer.close()


class SyncReplyStream:
    """A streamed reply for a plain `for`; each step blocks only its thread."""

    def __init__(self, item_buffer: ItemBuffer, run_until: Callable[[Callable[[], bool]], None]) -> None:
        self._item_buffer = item_buffer
        self._run_until = run_until

    def __iter__(self) -> SyncReplyStream:
        return self

    def __next__(self) -> Any:
        self._run_until(self._item_buffer.is_ready)
        return self._item_buffer.take()

    def close(self) -> None:
        """Stop taking items."""
        self._item_buffer.close()

    def __enter__(self) -> SyncReplyStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._item_buffer.close()
