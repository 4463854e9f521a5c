"""The calls of a channel that are on no lane, and the messages that they leave in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from argosy.wire.client.pending_call import PendingCall
from argosy.wire.protocol import codec
from argosy.wire.protocol.frame import BytesLike

_MAX_MESSAGES_IN_FLIGHT: Final = 4  # on their way at once, where there are so many calls


class Backlog:
    """Calls in the order in which they go, taken in batches: one message each.

    calls: those that wait. batch: how many make a full message.
    """

    __slots__ = ("_bytes", "_has_buffers", "batch_size", "calls")

    def __init__(self) -> None:
        self.calls: deque[PendingCall] = deque()
        self.batch_size = codec.MIN_BATCH
        self._bytes = 0
        self._has_buffers = False

    def add(self, call: PendingCall) -> bool:
        """Add a call behind the others; tell whether there is a full message now."""
        self.calls.append(call)
        self._bytes += len(call.record)
        if call.buffers:
            self._has_buffers = True
        return len(self.calls) >= self.batch_size or self._bytes >= codec.MAX_BATCH_BYTES

    def take(self, limit: int) -> tuple[Sequence[PendingCall], Sequence[BytesLike]]:
        """Take the calls of one message, at most `room`, and the buffers of the one that has some.

        A message has at most a batch of calls, ends with the one that fills BATCH_BYTES, and a
        call with buffers goes alone.
        """
        waiting = self.calls
        limit = min(limit, self.batch_size)
        if len(waiting) <= limit and self._bytes <= codec.MAX_BATCH_BYTES and not self._has_buffers:
            all_calls = tuple(waiting)
            waiting.clear()
            return all_calls, ()
        calls = [waiting.popleft()]
        if buffers := calls[0].buffers:
            return calls, buffers
        size = len(calls[0].record)
        while waiting and len(calls) < limit and size < codec.MAX_BATCH_BYTES and not waiting[0].buffers:
            calls.append(waiting.popleft())
            size += len(calls[-1].record)
        return calls, ()

    def put_back(self, calls: Iterable[PendingCall]) -> None:
        """Let calls go once more, in their order, before those that were never sent."""
        self.calls.extendleft(sorted(calls, key=lambda c: c.id, reverse=True))
        self.recount(0)

    def recount(self, in_flight: int) -> None:
        """Count anew what waits, after some were taken; in_flight: how many calls are on the lane.

        The more there are the larger is a message, since each wakes the peer.
        """
        waiting = self.calls
        self._bytes = sum(len(c.record) for c in waiting) if waiting else 0
        self._has_buffers = any(c.buffers for c in waiting) if waiting else False
        self.batch_size = min(max(codec.MIN_BATCH, in_flight // _MAX_MESSAGES_IN_FLIGHT), codec.MAX_BATCH)
