"""Encoding of values: msgpack records, and large buffers as frames of their own.

A message's body is a header and an array of records. A record is encoded when its call is
made and its arguments are decoded when it is executed, so that one invalid value fails one call
and not its neighbours. Buffers of 64 KiB and more leave the record as frames, without a copy;
the record has a msgpack extension with their index, dtype and shape instead. Smaller arrays
stay in the record. Received buffers are read-only.

numpy is not imported before an array arrives; arrays are recognised by `__array_interface__`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw
from msgspec.msgpack import Ext

from argosy.wire.protocol.frame import HEADER_BYTES, BytesLike, pack_header

BUFFER_THRESHOLD_BYTES: Final = 64 * 1024  # below this size pyzmq copies anyway
MAX_BATCH_BYTES: Final = 64 * 1024
MIN_BATCH: Final = 16  # records in one message, if that many wait
MAX_BATCH: Final = 64
MIN_ITEM_COST_BYTES: Final = 1024  # the credit that an item of a stream costs at least
MAX_RECORD_BYTES: Final = 256 * 1024 * 1024  # of one call or reply, buffers included
MAX_MESSAGE_BYTES: Final = MAX_RECORD_BYTES + 1024 * 1024  # including what leaves in the same message

EXTENSION: Final = 1
INLINE: Final = -1
BYTES_LIKE: Final = (bytes, bytearray, memoryview)

# What decoding bytes not made by a Packer may raise.
DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

# Tags of a ReplyRecord.
RESULT: Final = 0
ERROR: Final = 1  # the handler failed: [code, message]
REFUSED: Final = 2  # argosy refused it: [code, message]
ITEM: Final = 3
END: Final = 4

# Codes of REFUSED.
EXPIRED: Final = "expired"
STOPPING: Final = "stopping"
OVERLOADED: Final = "overloaded"
UNKNOWN_METHOD: Final = "unknown-method"
BAD_ARGUMENT: Final = "bad-argument"
TOO_LARGE: Final = "too-large"


class CallRecord(msgspec.Struct, array_like=True, gc=False):
    """One request: the deadline is absolute, on the sender's monotonic clock.

    credit: bytes of items that may be sent at once, 0 when the client wants one reply.
    """

    id: int
    method: str
    deadline_us: int
    arguments: Raw
    trace: str = ""
    credit: int = 0


class ReplyRecord(msgspec.Struct, array_like=True, gc=False):
    """One reply to a request: its result, its error, an item of its stream, or the stream's end."""

    id: int
    tag: int
    value: Raw


class EventRecord(msgspec.Struct, array_like=True, gc=False):
    """One publication; `sequence` counts per (publisher incarnation, topic) from 1.

    beacon: the sequence number is repeated and the value is not sent.
    """

    sequence: int
    publisher: str
    value: Raw
    trace: str = ""
    beacon: bool = False


class Hello(msgspec.Struct, array_like=True):
    """The first message of a client."""

    protocol: int
    name: str


class Welcome(msgspec.Struct, array_like=True):
    """The server's answer to a HELLO: how many calls may be in flight, and the largest frame it takes."""

    protocol: int
    name: str
    credit: int
    max_record_bytes: int
    schema: str = ""


class HeartbeatRecord(msgspec.Struct, array_like=True):
    """A heartbeat from the work loop: its state, its lag, the age of its oldest handler."""

    state: str
    lag_s: float
    oldest_request_s: float


class Packer:
    """Encodes values; keeps the buffers that the last ones set aside, until `take_frames`.

    separate_buffers: whether large buffers leave the record; otherwise they are copied into it.
    pack: encodes one value; raises TypeError when part of it has no encoding; the buffers
    set aside until then must be taken.
    """

    def __init__(self, *, separate_buffers: bool = True) -> None:
        self.frames: list[BytesLike] = []
        self._separate_buffers = separate_buffers
        self.pack: Final = msgspec.msgpack.Encoder(enc_hook=self._encode_hook).encode

    def take_frames(self) -> list[BytesLike]:
        """Return and drop the buffers that were set aside."""
        frames, self.frames = self.frames, []
        return frames

    def extract_buffer(self, value: Any) -> Any:
        """Return a large bytes-like value as a reference to a frame of its own, others as they are."""
        if isinstance(value, BYTES_LIKE) and len(value) >= BUFFER_THRESHOLD_BYTES:
            return self._encode_buffer("", (memoryview(value).nbytes,), value)
        return value

    def extract_argument_buffers(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return arguments with their large bytes-like values replaced by references."""
        return {name: self.extract_buffer(each) for name, each in arguments.items()}

    def _encode_hook(self, value: Any) -> Any:
        interface = getattr(value, "__array_interface__", None)
        if interface is None:
            raise TypeError(f"`{type(value).__name__}` has no encoding on the wire")
        dtype = interface["typestr"]
        if "O" in dtype or "V" in dtype:
            raise TypeError(f"arrays of dtype `{value.dtype}` have no encoding on the wire")
        if not value.flags.c_contiguous:
            value = value.copy(order="C")
        return self._encode_buffer(dtype, value.shape, value.reshape(-1).view("u1"))

    def _encode_buffer(self, dtype: str, shape: tuple[int, ...], data: Any) -> Ext:
        if not self._separate_buffers or memoryview(data).nbytes < BUFFER_THRESHOLD_BYTES:
            reference: tuple[object, ...] = (INLINE, dtype, shape, memoryview(data))
        else:
            self.frames.append(data)
            reference = (len(self.frames) - 1, dtype, shape)
        return Ext(EXTENSION, msgspec.msgpack.encode(reference))


class _BufferReference(msgspec.Struct, array_like=True):
    """What stands for a buffer in a record."""

    index: int
    dtype: str
    shape: tuple[int, ...]
    inline: bytes = b""


_decode_reference = msgspec.msgpack.Decoder(_BufferReference).decode


def wire_type(hint: Any) -> Any:
    """Return a type that also takes a reference to a buffer, where the given one is bytes-like."""
    return hint | Ext if hint in BYTES_LIKE else hint


def is_bytes_like(hint: Any) -> bool:
    """Return whether a large value of this type travels as a frame of its own."""
    return hint in BYTES_LIKE


class Unpacker:
    """Decodes values of one type; raises msgspec.DecodeError (or ValidationError) with the path.

    decode: decodes one value that has no buffers, faster than `unpack`.
    target_type: what to decode. Where a field is bytes-like, the struct has `wire_type(bytes)`, and
    `fields` has the real type of each such field.
    """

    def __init__(self, target_type: Any = Any, fields: Mapping[str, type] | None = None) -> None:
        self._frames: Sequence[BytesLike] = ()
        self._fields = fields
        self._bytes: type | None = target_type if target_type in BYTES_LIKE else None
        expected_type = wire_type(target_type)
        self.decode: Final = msgspec.msgpack.Decoder(
            expected_type, ext_hook=self._decode_buffer, dec_hook=_check_instance
        ).decode

    def unpack(self, raw: Raw | BytesLike, frames: Sequence[BytesLike] = ()) -> Any:
        """Decode one value whose buffers are in `frames`."""
        if not frames:
            return self.decode(raw)
        self._frames = frames
        try:
            return self._resolve_references(self.decode(raw))
        finally:
            self._frames = ()

    def _resolve_references(self, value: Any) -> Any:
        """Replace references by their large bytes-like values."""
        if self._bytes and isinstance(value, Ext):
            return self._bytes(self._decode_buffer(value.code, memoryview(value.data)))
        for name, expected_type in (self._fields or {}).items():
            reference = getattr(value, name)
            if isinstance(reference, Ext):
                setattr(
                    value,
                    name,
                    expected_type(self._decode_buffer(reference.code, memoryview(reference.data))),
                )
        return value

    def _decode_buffer(self, code: int, data: memoryview) -> Any:
        if code != EXTENSION:
            raise msgspec.ValidationError(f"extension {code} is unknown")
        reference = _decode_reference(data)
        if reference.index == INLINE:
            return _as_array(memoryview(reference.inline), reference)
        if not 0 <= reference.index < len(self._frames):
            raise msgspec.ValidationError(f"buffer {reference.index} of {len(self._frames)} is not there")
        return _as_array(memoryview(self._frames[reference.index]).toreadonly(), reference)


def _as_array(data: memoryview, reference: _BufferReference) -> Any:
    """Return a buffer as the array that was sent; every size is checked before it is used."""
    if not reference.dtype:
        return data
    numpy = sys.modules.get("numpy") or __import__("numpy")
    try:
        dtype = numpy.dtype(reference.dtype)
    except TypeError as error:
        raise msgspec.ValidationError(f"`{reference.dtype}` is not a dtype") from error
    if dtype.hasobject or min(reference.shape, default=0) < 0:
        raise msgspec.ValidationError(f"a buffer cannot be `{reference.dtype}` of shape {reference.shape}")
    if dtype.itemsize * math.prod(reference.shape) != data.nbytes:
        raise msgspec.ValidationError(
            f"{data.nbytes} bytes are not `{reference.dtype}` of shape {reference.shape}",
        )
    return numpy.frombuffer(data, dtype).reshape(reference.shape)


def _check_instance(expected_type: type, value: Any) -> Any:
    """Accept a value where a handler names a type that msgspec does not know, such as an array."""
    if isinstance(expected_type, type) and isinstance(value, expected_type):
        return value
    name = getattr(expected_type, "__name__", expected_type)
    raise msgspec.ValidationError(f"Expected `{name}`, got `{type(value).__name__}`")


class UnpackerCache:
    """The decoders of one thread, each made once."""

    def __init__(self) -> None:
        self._unpackers: dict[Any, Unpacker] = {}

    def get(self, expected_type: Any) -> Unpacker:
        """Return the decoder of a type; for an unhashable type it is made each time."""
        try:
            return self._unpackers[expected_type]
        except TypeError:
            return Unpacker(expected_type)
        except KeyError:
            unpacker = self._unpackers[expected_type] = Unpacker(expected_type)
            return unpacker


unpackers = UnpackerCache()  # for the loop's thread


def encode_batch(
    kind: int, incarnation: int, records: Sequence[bytes], buffers: int = 0, state: int = 0
) -> bytes:
    """Return a body that holds encoded records."""
    count = len(records)
    if count == 1:
        return pack_header(kind, incarnation, buffers, state) + b"\x91" + records[0]
    array = bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
    return b"".join((pack_header(kind, incarnation, buffers, state), array, *records))


def encode_single(kind: int, incarnation: int, value: object, state: int = 0) -> bytes:
    """Return a body that holds one value."""
    return pack_header(kind, incarnation, 0, state) + msgspec.msgpack.encode(value)


def make_decoder(target_type: Any) -> Callable[[memoryview], Any]:
    """Return a function that decodes what follows the header of a body as `target_type`."""
    decode = msgspec.msgpack.Decoder(target_type).decode

    def read(message: memoryview) -> Any:
        return decode(message[HEADER_BYTES:])

    return read


read_calls = make_decoder(list[CallRecord])
read_replies = make_decoder(list[ReplyRecord])
read_ids = make_decoder(list[int])
read_credits = make_decoder(list[tuple[int, int]])
read_hello = make_decoder(Hello)
read_welcome = make_decoder(Welcome)
read_heartbeat = make_decoder(HeartbeatRecord)
read_event = make_decoder(EventRecord)
