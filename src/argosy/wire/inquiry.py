"""Requests as their callee sees them, from argosy callers and from old speakers of JSON.

Both kinds look the same to whoever runs handlers; how an answer travels is their own affair.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec
from msgspec import Raw

from argosy.wire import codec, frame
from argosy.wire.link import Link
from argosy.wire.reply import json_error

_monotonic_ns: Final = time.monotonic_ns

# What tells callers apart: the identity that a ROUTER gave them, or their own connection.
Key = bytes | Link


class Decoder(Protocol):
    """Turns the arguments of a request into what a handler takes.

    decode: as `from_msgpack`, of arguments without buffers.
    """

    @property
    def decode(self) -> Callable[[Raw], Any]: ...

    def from_msgpack(self, raw: Raw, buffers: Sequence[memoryview]) -> Any: ...

    def from_json(self, arguments: dict[str, Any]) -> Any: ...


class Inquiry(Protocol):
    """One request to be answered: `reply`, `fail` or `refuse` ends it, what comes later is ignored.

    abort: set by who runs the handler, called when the caller cancels or has gone.
    """

    method: str
    trace: str
    abort: Callable[[], object] | None
    is_over: bool

    @property
    def wants_stream(self) -> bool:
        """True when items may be sent one by one; else a handler that yields is answered as a list."""

    def arguments(self, decoder: Decoder) -> Any:
        """Decode the arguments; raises msgspec.DecodeError with the path of what does not fit."""

    def expired(self) -> bool:
        """Tell whether the caller has given up by its own clock."""

    def reply(self, value: object) -> None:
        """End with a result; with an error when the result has no encoding."""

    def fail(self, code: str, message: str) -> None:
        """End as failed by the handler."""

    def refuse(self, code: str, message: str) -> None:
        """End as not executed."""


class Desk(Protocol):
    """Who takes the answers."""

    def answer(self, inquiry: ArgosyInquiry, tag: int, value: object) -> None: ...

    def item(self, inquiry: ArgosyInquiry, value: object) -> int: ...

    def answer_json(
        self, inquiry: JsonInquiry | None, route: Sequence[bytes], document: dict[str, Any]
    ) -> None: ...


class Way(Protocol):
    """How a callee reaches one caller."""

    def send(self, body: frame.Bytes, buffers: Sequence[frame.Bytes] = (), /) -> bool | None:
        """Send one message now: True, False when its receiver has gone, None when its queue is full."""


class Caller:
    """One lane as its callee sees it.

    key: tells it from others. way: its messages go that way.
    is_routed: that is the agent's ROUTER.
    least_us: the least (receipt - stamp) seen, so the difference of the two clocks plus the
    fastest journey; a deadline plus that can only err towards executing.
    batch: how many replies make a full message.
    due: whole messages that could not leave yet.
    owes_beat: a request was cancelled, so no answer will tell the caller that this agent lives.
    """

    __slots__ = (
        *("batch", "due", "full_since_s", "heard_s", "inquiries", "is_routed", "key", "least_us", "name"),
        *("outbox", "owes_beat", "way"),
    )

    def __init__(self, key: Key, way: Way, name: str, least_us: int) -> None:
        self.key = key
        self.way = way
        self.is_routed = isinstance(key, bytes)
        self.name = name
        self.least_us = least_us
        self.inquiries: dict[int, ArgosyInquiry] = {}
        self.batch = codec.LEAST_BATCH
        self.outbox: list[bytes] = []
        self.due: list[tuple[bytes, Sequence[frame.Bytes]]] = []
        self.heard_s = time.monotonic()
        self.full_since_s = 0.0
        self.owes_beat = False


class ArgosyInquiry(msgspec.Struct, eq=False, weakref=False):
    """A request that came as a CallRecord; a struct, since one is made per request.

    deadline_us: on this process's clock. credit: bytes of items that may be sent now.
    since_us: when it arrived. on_credit: called once when credit has come.
    """

    desk: Desk
    caller: Caller
    id: int
    method: str
    deadline_us: int
    raw: Raw
    buffers: Sequence[memoryview]
    trace: str
    credit: int
    wants_stream: bool
    since_us: int
    on_credit: Callable[[], object] | None = None
    abort: Callable[[], object] | None = None
    is_over: bool = False

    def arguments(self, decoder: Decoder) -> Any:
        if self.buffers:
            return decoder.from_msgpack(self.raw, self.buffers)
        decode = decoder.decode
        return decode(self.raw)

    def expired(self) -> bool:
        return _monotonic_ns() // 1000 > self.deadline_us

    def reply(self, value: object) -> None:
        self.desk.answer(self, codec.RESULT, value)

    def fail(self, code: str, message: str) -> None:
        self.desk.answer(self, codec.ERROR, (code, message))

    def refuse(self, code: str, message: str) -> None:
        self.desk.answer(self, codec.REFUSED, (code, message))

    def item(self, value: object) -> None:
        """Send one item of a stream; more only once `credit` is above 0."""
        self.credit -= self.desk.item(self, value)

    def end(self) -> None:
        """End a stream."""
        self.desk.answer(self, codec.END, None)

    def add_credit(self, amount_bytes: int) -> None:
        """Take what the consumer gives back, and wake who waits for it."""
        self.credit += amount_bytes
        wake, self.on_credit = self.on_credit, None
        if wake:
            wake()

    def drop(self) -> None:
        """The caller has cancelled or gone: stop what runs for it."""
        self.is_over = True
        if self.abort:
            self.abort()


class JsonInquiry:
    """A request of an old speaker: `{"action": M, ...}`, answered in its own envelope."""

    __slots__ = ("_arguments", "_desk", "_route", "abort", "is_over", "method", "trace", "wants_stream")

    def __init__(self, desk: Desk, route: Sequence[bytes], action: str, arguments: dict[str, Any]) -> None:
        self._desk = desk
        self._route = route
        self.method = action
        self.trace = str(arguments.pop("trace", ""))
        self._arguments = arguments
        self.wants_stream = False
        self.abort: Callable[[], object] | None = None
        self.is_over = False

    def arguments(self, decoder: Decoder) -> Any:
        return decoder.from_json(self._arguments)

    def expired(self) -> bool:
        return False  # an old speaker tells no deadline

    def reply(self, value: object) -> None:
        self.answer({"result": value})

    def fail(self, code: str, message: str) -> None:
        self.answer(json_error(code, message))

    refuse = fail

    def answer(self, document: dict[str, Any]) -> None:
        """End with a document as it is, as health does."""
        if not self.is_over:
            self.is_over = True
            self._desk.answer_json(self, self._route, document)


class LetterError(Exception):
    """An old speaker's message that is no request; it is answered with the code and the text."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


# What a callee makes of an old speaker's message: gets the desk, the way back and the text.
ReadLetter = Callable[[Desk, Sequence[bytes], frame.Bytes], JsonInquiry]


def read_letter(desk: Desk, route: Sequence[bytes], text: frame.Bytes) -> JsonInquiry:
    """Read `{"action": M, ...}`; raises LetterError when it is anything else."""
    try:
        document = msgspec.json.decode(text, type=dict[str, Any])
    except codec.UNREADABLE as error:
        raise LetterError("not-json", str(error)) from error
    action = document.pop("action", None)
    if not isinstance(action, str):
        message = "the request needs a text under `action`: a method's name, or `health`"
        raise LetterError("no-action", message)
    return JsonInquiry(desk, route, action, document)
