"""One call from creation to completion, how calls are batched, and the errors that replies stand for."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec
from msgspec import Raw

from argosy.wire import errors
from argosy.wire.protocol import codec
from argosy.wire.protocol.frame import BytesLike

INITIAL_CREDIT_BYTES: Final = 256 * 1024  # bytes of a stream that may arrive before any is taken
MAX_TRIES: Final = 3  # of an idempotent call, so that one that crashes its peer is not repeated indefinitely

EncodedReply = tuple[Raw, list[memoryview]]

# Bound at module level: they are needed for each call, and an attribute lookup is measurable.
_monotonic: Final = time.monotonic
_BUFFER_THRESHOLD: Final = codec.BUFFER_THRESHOLD_BYTES
_BYTES_LIKE: Final = codec.BYTES_LIKE

_ERROR_BY_CODE: Final = {codec.UNKNOWN_METHOD: errors.UnknownMethod, codec.BAD_ARGUMENT: errors.BadArgument}


class ReplyTarget(Protocol):
    """Receives the outcome of a call; an asyncio future is one."""

    def done(self) -> bool: ...

    def set_result(self, reply: EncodedReply, /) -> None:
        """Take the reply; may raise asyncio.InvalidStateError when it is done already."""

    def set_exception(self, error: BaseException, /) -> None: ...


class StreamReceiver(Protocol):
    """Receives the items of a streamed reply; its end goes to the target."""

    gap_us: int

    def add_item(self, reply: EncodedReply, /) -> None: ...

    def has_backlog(self) -> bool:
        """Return whether items wait for the consumer, in which case a gap is not the peer's."""


class PendingCall(msgspec.Struct, eq=False, weakref=False):
    """One request; a struct, since one is made per request.

    record, buffers: as sent. tries: how often its connection was lost, so that it is unknown
    whether it was executed.
    """

    id: int
    method: str
    deadline_us: int
    target: ReplyTarget
    receiver: StreamReceiver | None
    record: bytes
    buffers: Sequence[BytesLike] = ()
    tries: int = 0

    @property
    def total_bytes(self) -> int:
        """The size of the call with its buffers."""
        return len(self.record) + sum(memoryview(b).nbytes for b in self.buffers)

    def fail(self, error: errors.WireError) -> None:
        """Complete with an error."""
        if not self.target.done():
            self.target.set_exception(error)

    def fail_unsent(self, peer: str, reason: str) -> None:
        """Complete a call on no connection; one whose last connection was lost may have been executed."""
        kind = errors.DeadlineExceeded if self.tries else errors.NotSent
        self.fail(kind(peer, self.method, reason))


class CallFactory:
    """Makes the calls to one peer: numbers and encodes them."""

    def __init__(self, peer: str) -> None:
        self._peer = peer
        self._packer = codec.Packer()
        self._last_id = 0

    def make_call(
        self,
        method: str,
        arguments: Mapping[str, Any],
        timeout_s: float,
        target: ReplyTarget,
        trace: str,
        receiver: StreamReceiver | None,
    ) -> PendingCall:
        """Return a new call. Raises TooLarge: it exceeds a limit; TypeError: an argument has no encoding."""
        self._last_id = call_id = self._last_id + 1
        deadline_us = int((_monotonic() + timeout_s) * 1e6)
        packer = self._packer
        pack = packer.pack
        for value in arguments.values():
            if isinstance(value, _BYTES_LIKE) and len(value) >= _BUFFER_THRESHOLD:
                arguments = packer.extract_argument_buffers(arguments)
                break
        try:
            if receiver:
                record = pack((call_id, method, deadline_us, arguments, trace, INITIAL_CREDIT_BYTES))
            elif trace:
                record = pack((call_id, method, deadline_us, arguments, trace))
            else:
                record = pack((call_id, method, deadline_us, arguments))
        except Exception:
            packer.take_frames()
            raise
        call = PendingCall(call_id, method, deadline_us, target, receiver, record)
        if packer.frames:
            call.buffers = packer.take_frames()
        elif len(record) <= codec.MAX_RECORD_BYTES:
            return call
        if call.total_bytes > codec.MAX_RECORD_BYTES:
            reason = f"{call.total_bytes} bytes, at most {codec.MAX_RECORD_BYTES} are carried"
            raise errors.TooLarge(self._peer, method, reason)
        return call


class ReplyFailure(msgspec.Struct, array_like=True, frozen=True):
    """The content of a reply that is not a result."""

    code: str
    message: str


def remote_error(peer: str, method: str, tag: int, failure: ReplyFailure) -> errors.WireError:
    """Return the error that a peer's failure reply stands for."""
    code, message = failure.code, failure.message
    if tag == codec.ERROR:
        return errors.RemoteError(peer, method, code, message)
    if code in _ERROR_BY_CODE:
        return _ERROR_BY_CODE[code](peer, method, code, message)
    if code == codec.TOO_LARGE:
        return errors.TooLarge(peer, method, message)
    if code == codec.OVERLOADED:
        return errors.Overloaded(peer, method, message)
    return errors.NotSent(peer, method, message or code)


def undecodable_reply(peer: str, method: str, error: Exception) -> errors.WireError:
    """Return the error for a result that does not decode as the requested type."""
    return errors.RemoteError(peer, method, "undecodable-result", str(error))


read_failure = codec.Unpacker(ReplyFailure).unpack


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
