"""The calls of a channel that are on no connection, and how they are batched into messages."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from argosy.wire.client.pending_call import PendingCall
from argosy.wire.protocol import codec
from argosy.wire.protocol.frame import BytesLike

_MAX_MESSAGES_IN_FLIGHT: Final = 4  # messages in flight at once where there are that many calls


class Backlog:
    """Calls in sending order, taken in batches of one message each.

    calls: those that wait. batch_size: the number of calls that fill a message.
    """

    __slots__ = ("_bytes", "_has_buffers", "batch_size", "calls")

    def __init__(self) -> None:
        self.calls: deque[PendingCall] = deque()
        self.batch_size = codec.MIN_BATCH
        self._bytes = 0
        self._has_buffers = False

    def add(self, call: PendingCall) -> bool:
        """Append a call; return whether a full message is waiting."""
        self.calls.append(call)
        self._bytes += len(call.record)
        if call.buffers:
            self._has_buffers = True
        return len(self.calls) >= self.batch_size or self._bytes >= codec.MAX_BATCH_BYTES

    def take(self, limit: int) -> tuple[Sequence[PendingCall], Sequence[BytesLike]]:
        """Take the calls of one message, at most `limit`, and the buffers of the one that has some.

        A message has at most `batch_size` calls, ends with the one that reaches MAX_BATCH_BYTES, and
        a call with buffers goes alone.
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
        """Put calls back in front of those that were never sent, in their order."""
        self.calls.extendleft(sorted(calls, key=lambda c: c.id, reverse=True))
        self.recount(0)

    def recount(self, in_flight: int) -> None:
        """Recount what waits after some calls were taken. in_flight: the number of calls on the connection.

        The more calls in flight, the larger a message, since each message wakes the peer.
        """
        waiting = self.calls
        self._bytes = sum(len(c.record) for c in waiting) if waiting else 0
        self._has_buffers = any(c.buffers for c in waiting) if waiting else False
        self.batch_size = min(max(codec.MIN_BATCH, in_flight // _MAX_MESSAGES_IN_FLIGHT), codec.MAX_BATCH)
