"""One call, from its making to its end, and what a peer's refusal means to its caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec
from msgspec import Raw

from argosy.wire import codec, errors
from argosy.wire.frame import Bytes

MOST_TRIES: Final = 3  # of an idempotent call: one that kills its peer does not kill it for ever

Answer = tuple[Raw, list[memoryview]]

_REFUSALS: Final = {codec.UNKNOWN_METHOD: errors.UnknownMethod, codec.BAD_ARGUMENT: errors.BadArgument}


class Sink(Protocol):
    """Where a call ends; an asyncio future is one."""

    def done(self) -> bool: ...

    def set_result(self, answer: Answer, /) -> None: ...

    def set_exception(self, error: BaseException, /) -> None: ...


class Flow(Protocol):
    """Where the items of a streamed reply go, besides its end, which goes to the sink."""

    gap_us: int

    def item(self, answer: Answer, /) -> None: ...

    def is_behind(self) -> bool:
        """Tell whether items wait for the consumer, so that a gap is not the peer's."""


class Call(msgspec.Struct, eq=False, weakref=False):
    """One request; a struct, since one is made per request.

    record, buffers: as they travel. tries: how often it was sent.
    is_uncertain: it was sent and nothing tells whether it was executed.
    """

    id: int
    method: str
    deadline_us: int
    sink: Sink
    flow: Flow | None
    record: bytes
    buffers: Sequence[Bytes] = ()
    is_uncertain: bool = False
    tries: int = 0

    @property
    def largest_bytes(self) -> int:
        """The size of the largest frame that the call needs."""
        return max(len(self.record), *(memoryview(b).nbytes for b in self.buffers), 0)

    def end(self, answer: Answer) -> None:
        """End with a reply."""
        if not self.sink.done():
            self.sink.set_result(answer)

    def fail(self, error: errors.WireError) -> None:
        """End with an error."""
        if not self.sink.done():
            self.sink.set_exception(error)

    def give_up(self, peer: str, reason: str) -> None:
        """End while it is on no lane; one whose last lane was lost may have been executed."""
        kind = errors.DeadlineExceeded if self.is_uncertain else errors.NotSent
        self.fail(kind(peer, self.method, reason))


class Failure(msgspec.Struct, array_like=True, frozen=True):
    """What stands in a reply that is not a result."""

    code: str
    message: str


def remote_error(peer: str, method: str, tag: int, failure: Failure) -> errors.WireError:
    """Return the error that a peer's answer stands for."""
    code, message = failure.code, failure.message
    if tag == codec.ERROR:
        return errors.RemoteError(peer, method, code, message)
    if code in _REFUSALS:
        return _REFUSALS[code](peer, method, code, message)
    if code == codec.TOO_LARGE:
        return errors.TooLarge(peer, method, message)
    if code == codec.OVERLOADED:
        return errors.Overloaded(peer, method, message)
    return errors.NotSent(peer, method, message or code)


def read_answer(unpack: Callable[..., Any], answer: Answer, peer: str, method: str) -> Any:
    """Decode a result; raises RemoteError when it is not what the caller asked for."""
    try:
        return unpack(*answer)
    except codec.UNREADABLE as error:
        raise errors.RemoteError(peer, method, "undecodable-result", str(error)) from error


read_failure = codec.Unpacker(Failure).unpack
