"""Streamed replies as their consumer sees them: items, credit given back, an end by name.

The peer may send 256 KiB beyond what was taken; an item costs at least 1 KiB, so that a flood
of tiny ones is bounded too. Credit goes back in halves of that, not item by item.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from argosy.wire import codec
from argosy.wire.call import FIRST_CREDIT, Answer, Call, unreadable
from argosy.wire.channel import Channel

ITEM_BYTES: Final = 1024
_GIVE_BACK: Final = FIRST_CREDIT // 2


def cost_bytes(answer: Answer) -> int:
    """Return what an item costs of the credit."""
    raw, buffers = answer
    return max(ITEM_BYTES, len(memoryview(raw)) + sum(b.nbytes for b in buffers))


class Inbox:
    """Sink and flow of one stream: what has come and was not taken yet, and how it ended."""

    def __init__(self, channel: Channel, gap_s: float, of: Any) -> None:
        self.gap_us = int(gap_s * 1e6)
        self.wake: Callable[[], object] | None = None
        self.call: Call | None = None
        self._channel = channel
        self._unpack = codec.Unpacker(of).unpack
        self._items: deque[Answer] = deque()
        self._owed = 0
        self._is_over = False
        self._error: BaseException | None = None

    def done(self) -> bool:
        return self._is_over

    def set_result(self, answer: Answer, /) -> None:
        self._is_over = True
        self._stir()

    def set_exception(self, error: BaseException, /) -> None:
        self._error = error
        self._is_over = True
        self._stir()

    def item(self, answer: Answer, /) -> None:
        self._items.append(answer)
        self._stir()

    def is_behind(self) -> bool:
        return bool(self._items)

    def has_news(self) -> bool:
        """Tell whether `take` would return or raise."""
        return bool(self._items) or self._is_over

    def take(self) -> Any:
        """Return the next item; raises the stream's error, or StopIteration at its end."""
        if not self._items:
            error, self._error = self._error, None
            raise error or StopIteration
        answer = self._items.popleft()
        self._owed += cost_bytes(answer)
        if self._owed >= _GIVE_BACK and self.call:
            self._channel.give_credit(self.call, self._owed)
            self._owed = 0
        try:
            return self._unpack(*answer)
        except codec.UNREADABLE as error:
            method = self.call.method if self.call else ""
            raise unreadable(self._channel.peer, method, error) from error

    def close(self) -> None:
        """Take no more: the peer's handler is cancelled."""
        if self.call and not self._is_over:
            self._is_over = True
            self._channel.cancel(self.call)
        self._items.clear()

    def _stir(self) -> None:
        wake, self.wake = self.wake, None
        if wake:
            wake()


class Stream:
    """A streamed reply for `async for`; leave it early and its source is cancelled.

    Use `async with` (or `aclose`) where the loop may be left early.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Any:
        while not self._inbox.has_news():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._inbox.wake = lambda waiter=waiter: waiter.done() or waiter.set_result(None)
            await waiter
        try:
            return self._inbox.take()
        except StopIteration:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        """Take no more items."""
        self._inbox.close()

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._inbox.close()


class SyncStream:
    """A streamed reply for a plain `for`; each step blocks its thread only."""

    def __init__(self, inbox: Inbox, run_until: Callable[[Callable[[], bool]], None]) -> None:
        self._inbox = inbox
        self._run_until = run_until

    def __iter__(self) -> SyncStream:
        return self

    def __next__(self) -> Any:
        self._run_until(self._inbox.has_news)
        return self._inbox.take()

    def close(self) -> None:
        """Take no more items."""
        self._inbox.close()

    def __enter__(self) -> SyncStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._inbox.close()
