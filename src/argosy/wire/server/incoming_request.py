"""Requests as the server sees them, from argosy clients and from plain JSON clients.

Both kinds have the same interface for the code that runs handlers; each sends its reply in its own way. A
reply that has no encoding, or exceeds the size limit, becomes an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec
from msgspec import Raw

from argosy.wire.protocol import codec, frame
from argosy.wire.protocol.frame import BytesLike
from argosy.wire.transport.unix_connection import UnixConnection

_monotonic_ns: Final = time.monotonic_ns

# What identifies a client: the identity that a ROUTER gave it, or its own connection.
ClientKey = bytes | UnixConnection


class ArgumentDecoder(Protocol):
    """Decodes the arguments of a request into what a handler takes.

    decode: as `from_msgpack`, of arguments without buffers.
    """

    @property
    def decode(self) -> Callable[[Raw], Any]: ...

    def from_msgpack(self, raw: Raw, buffers: Sequence[memoryview]) -> Any: ...

    def from_json(self, arguments: dict[str, Any]) -> Any: ...


class IncomingRequest(Protocol):
    """One request; `reply`, `fail` or `refuse` ends it, and later calls are ignored.

    on_cancel: set by the code that runs the handler; called when the client cancels or disconnects.
    """

    method: str
    trace: str
    on_cancel: Callable[[], object] | None
    is_finished: bool

    @property
    def wants_stream(self) -> bool:
        """True when items may be sent one by one; otherwise a generator's items are sent as a list."""

    def decode_arguments(self, decoder: ArgumentDecoder) -> Any:
        """Decode the arguments; raises msgspec.DecodeError with the path of what does not fit."""

    def is_expired(self) -> bool:
        """Return whether the deadline has passed by the client's clock."""

    def reply(self, value: object) -> None:
        """End with a result, or with an error when the result has no encoding."""

    def fail(self, code: str, message: str) -> None:
        """End as failed by the handler."""

    def refuse(self, code: str, message: str) -> None:
        """End as not executed."""


class ReplySender(Protocol):
    """Sends replies."""

    def send_reply(self, request: MsgpackRequest, tag: int, value: object) -> None: ...

    def send_item(self, request: MsgpackRequest, value: object) -> int: ...

    def send_json_reply(
        self, request: JsonRequest | None, envelope: Sequence[bytes], document: dict[str, Any]
    ) -> None: ...


class ReplyPath(Protocol):
    """The path by which a server reaches one client."""

    def send(self, body: frame.BytesLike, buffers: Sequence[frame.BytesLike] = (), /) -> bool | None:
        """Send one message now: True, False when the receiver is gone, None when its queue is full."""


class ConnectedClient:
    """One connection as the server sees it.

    key: identifies it. path: sends its messages.
    uses_router: the path is the agent's ROUTER.
    min_offset_us: the smallest (receipt - stamp) seen: the difference of the two clocks plus the
    fastest transmission; a deadline plus this can only err towards executing.
    batch_size: the number of replies that fill a message.
    unsent_messages: encoded messages that could not leave yet.
    owes_heartbeat: a request was cancelled, so no reply will show the client that this agent is alive.
    """

    __slots__ = (
        *(
            "batch_size",
            "unsent_messages",
            "full_since_s",
            "last_received_s",
            "requests",
            "uses_router",
            "key",
            "min_offset_us",
            "name",
        ),
        *("pending_records", "owes_heartbeat", "path"),
    )

    def __init__(self, key: ClientKey, path: ReplyPath, name: str, min_offset_us: int) -> None:
        self.key = key
        self.path = path
        self.uses_router = isinstance(key, bytes)
        self.name = name
        self.min_offset_us = min_offset_us
        self.requests: dict[int, MsgpackRequest] = {}
        self.batch_size = codec.MIN_BATCH
        self.pending_records: list[bytes] = []
        self.unsent_messages: list[tuple[bytes, Sequence[frame.BytesLike]]] = []
        self.last_received_s = time.monotonic()
        self.full_since_s = 0.0
        self.owes_heartbeat = False


class MsgpackRequest(msgspec.Struct, eq=False, weakref=False):
    """A request from a CallRecord; a struct, since one is made per request.

    deadline_us: on this process's clock. credit: bytes of items that may be sent now.
    received_us: when it arrived. on_credit: called once when credit arrives.
    """

    sender: ReplySender
    client: ConnectedClient
    id: int
    method: str
    deadline_us: int
    raw: Raw
    buffers: Sequence[memoryview]
    trace: str
    credit: int
    wants_stream: bool
    received_us: int
    on_credit: Callable[[], object] | None = None
    on_cancel: Callable[[], object] | None = None
    is_finished: bool = False

    def decode_arguments(self, decoder: ArgumentDecoder) -> Any:
        if self.buffers:
            return decoder.from_msgpack(self.raw, self.buffers)
        decode = decoder.decode
        return decode(self.raw)

    def is_expired(self) -> bool:
        return _monotonic_ns() // 1000 > self.deadline_us

    def reply(self, value: object) -> None:
        self.sender.send_reply(self, codec.RESULT, value)

    def fail(self, code: str, message: str) -> None:
        self.sender.send_reply(self, codec.ERROR, (code, message))

    def refuse(self, code: str, message: str) -> None:
        self.sender.send_reply(self, codec.REFUSED, (code, message))

    def send_item(self, value: object) -> None:
        """Send one item of a stream; more only once `credit` is above 0."""
        self.credit -= self.sender.send_item(self, value)

    def end_stream(self) -> None:
        """End a stream."""
        self.sender.send_reply(self, codec.END, None)

    def add_credit(self, amount_bytes: int) -> None:
        """Add credit that the consumer granted, and call `on_credit`."""
        self.credit += amount_bytes
        wake, self.on_credit = self.on_credit, None
        if wake:
            wake()

    def cancel(self) -> None:
        """The client cancelled or disconnected: stop the handler."""
        self.is_finished = True
        if self.on_cancel:
            self.on_cancel()


class JsonRequest:
    """A request of a plain JSON client: `{"action": M, ...}`, answered in the same envelope."""

    __slots__ = (
        "_arguments",
        "_envelope",
        "_sender",
        "is_finished",
        "method",
        "on_cancel",
        "trace",
        "wants_stream",
    )

    def __init__(
        self, sender: ReplySender, envelope: Sequence[bytes], action: str, arguments: dict[str, Any]
    ) -> None:
        self._sender = sender
        self._envelope = envelope
        self.method = action
        self.trace = str(arguments.pop("trace", ""))
        self._arguments = arguments
        self.wants_stream = False
        self.on_cancel: Callable[[], object] | None = None
        self.is_finished = False

    def decode_arguments(self, decoder: ArgumentDecoder) -> Any:
        return decoder.from_json(self._arguments)

    def is_expired(self) -> bool:
        return False  # a JSON request has no deadline

    def reply(self, value: object) -> None:
        self.send_document({"result": value})

    def fail(self, code: str, message: str) -> None:
        self.send_document(json_error(code, message))

    refuse = fail

    def send_document(self, document: dict[str, Any]) -> None:
        """End with a document as it is, as health does."""
        if not self.is_finished:
            self.is_finished = True
            self._sender.send_json_reply(self, self._envelope, document)


class MalformedRequestError(Exception):
    """A JSON message that is not a valid request; it is answered with the code and the message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


# Makes a request of a JSON message: gets the reply sender, the envelope and the text.
ParseJsonRequest = Callable[[ReplySender, Sequence[bytes], frame.BytesLike], JsonRequest]


def parse_json_request(sender: ReplySender, envelope: Sequence[bytes], text: frame.BytesLike) -> JsonRequest:
    """Parse `{"action": M, ...}`; raises MalformedRequestError for anything else."""
    try:
        document = msgspec.json.decode(text, type=dict[str, Any])
    except codec.DECODE_ERRORS as error:
        raise MalformedRequestError("not-json", str(error)) from error
    action = document.pop("action", None)
    if not isinstance(action, str):
        message = "the request needs a text under `action`: a method's name, or `health`"
        raise MalformedRequestError("no-action", message)
    return JsonRequest(sender, envelope, action, document)


_ENCODE_ERRORS: Final = (TypeError, ValueError, OverflowError, RecursionError)


class ReplyEncoder:
    """Encodes replies, for argosy clients and for plain JSON clients."""

    def __init__(self) -> None:
        self._packer = codec.Packer()
        self._json = msgspec.json.Encoder(enc_hook=_array_to_list)

    def encode(self, number: int, tag: int, value: object) -> tuple[bytes, Sequence[BytesLike]]:
        """Return the record of a reply to request `number`, and the buffers sent beside it."""
        packer = self._packer
        pack = packer.pack
        if isinstance(value, codec.BYTES_LIKE) and len(value) >= codec.BUFFER_THRESHOLD_BYTES:
            value = packer.extract_buffer(value)
        try:
            record = pack((number, tag, value))
        except _ENCODE_ERRORS as error:
            packer.take_frames()
            return pack((number, codec.ERROR, ("unencodable-result", str(error)))), ()
        buffers: Sequence[BytesLike] = ()
        total = len(record)
        if packer.frames:
            buffers = packer.take_frames()
            total += sum(memoryview(b).nbytes for b in buffers)
        if total > codec.MAX_RECORD_BYTES:
            reason = f"its reply has {total} bytes, at most {codec.MAX_RECORD_BYTES} are carried"
            return pack((number, codec.REFUSED, (codec.TOO_LARGE, reason))), ()
        return record, buffers

    def encode_json(self, document: dict[str, Any]) -> bytes:
        """Return the text of a reply to a JSON client."""
        try:
            return self._json.encode(document)
        except _ENCODE_ERRORS as error:
            return self._json.encode(json_error("unencodable-result", str(error)))


def json_error(code: str, message: str) -> dict[str, Any]:
    """Return what a JSON client gets instead of a result."""
    return {"error": {"code": code, "message": message}}


def _array_to_list(value: Any) -> Any:
    """Encode what JSON has no type for: arrays as lists."""
    listed = getattr(value, "tolist", None)
    if listed is None:
        raise TypeError(f"`{type(value).__name__}` has no encoding in JSON")
    return listed()
