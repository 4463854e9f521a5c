"""Values to bytes and back: msgpack records, and large buffers as frames of their own.

A message's body is a header and an array of records. A record is encoded when its call is
made and its arguments are decoded when it is executed, so that one bad value fails one call
and not its neighbours. Buffers of 64 KiB and more leave the record as frames, without a copy;
in their place stands a msgpack extension with their index, dtype and shape. Smaller arrays
stand in the record itself. What arrives is read-only.

numpy is never imported before an array arrives; arrays are known by `__array_interface__`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw
from msgspec.msgpack import Ext

from argosy.wire.frame import HEADER_BYTES, Bytes, head

BUFFER_BYTES: Final = 64 * 1024  # below that pyzmq copies anyway
BATCH_BYTES: Final = 64 * 1024
LEAST_BATCH: Final = 16  # records in one message, of those that are there to be sent
MOST_BATCH: Final = 64
LARGEST_BYTES: Final = 256 * 1024 * 1024  # of one call or reply, its buffers included
MESSAGE_BYTES: Final = LARGEST_BYTES + 1024 * 1024  # with what leaves together with it

EXTENSION: Final = 1
INLINE: Final = -1
BYTES_LIKE: Final = (bytes, bytearray, memoryview)

# What bytes that were not made by a Packer may raise.
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

# Tags of a ReplyRecord.
RESULT: Final = 0
ERROR: Final = 1  # the handler failed: [code, message]
REFUSED: Final = 2  # argosy says no: [code, message]
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

    credit: bytes of items that may be sent at once, 0 when the caller wants one reply.
    """

    id: int
    method: str
    deadline_us: int
    arguments: Raw
    trace: str = ""
    credit: int = 0


class ReplyRecord(msgspec.Struct, array_like=True, gc=False):
    """One answer to a request: its result, its error, an item of its stream, or the end of it."""

    id: int
    tag: int
    value: Raw


class EventRecord(msgspec.Struct, array_like=True, gc=False):
    """One publication; `number` counts per (publisher incarnation, topic) from 1.

    beacon: the number is repeated and the value is not sent.
    """

    number: int
    publisher: str
    value: Raw
    trace: str = ""
    beacon: bool = False


class Hello(msgspec.Struct, array_like=True):
    """What a caller says first."""

    protocol: int
    name: str


class Welcome(msgspec.Struct, array_like=True):
    """What a callee answers: how many calls may be in flight, and the largest frame it takes."""

    protocol: int
    name: str
    credit: int
    largest_bytes: int
    schema: str = ""


class Beat(msgspec.Struct, array_like=True):
    """A sign of life from the work loop: its state, its lag, the age of its oldest handler."""

    state: str
    lag_s: float
    oldest_s: float


class Packer:
    """Encodes values; `frames` holds the buffers that the last ones set aside, until taken.

    apart: whether large buffers leave the record; where not, they are copied into it.
    pack: encodes one value; raises TypeError when something in it has no encoding, and what was
    set aside until then is to be taken.
    """

    def __init__(self, *, apart: bool = True) -> None:
        self.frames: list[Bytes] = []
        self._apart = apart
        self.pack: Final = msgspec.msgpack.Encoder(enc_hook=self._foreign).encode

    def take_frames(self) -> list[Bytes]:
        """Return and forget the buffers that were set aside."""
        frames, self.frames = self.frames, []
        return frames

    def lift(self, value: Any) -> Any:
        """Return a large bytes-like value as a reference to a frame of its own, others as they are."""
        if isinstance(value, BYTES_LIKE) and len(value) >= BUFFER_BYTES:
            return self._reference("", (memoryview(value).nbytes,), value)
        return value

    def lift_arguments(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return arguments with their large bytes-like values lifted."""
        return {name: self.lift(each) for name, each in arguments.items()}

    def _foreign(self, value: Any) -> Any:
        interface = getattr(value, "__array_interface__", None)
        if interface is None:
            raise TypeError(f"`{type(value).__name__}` has no encoding on the wire")
        dtype = interface["typestr"]
        if "O" in dtype or "V" in dtype:
            raise TypeError(f"arrays of dtype `{value.dtype}` have no encoding on the wire")
        if not value.flags.c_contiguous:
            value = value.copy(order="C")
        return self._reference(dtype, value.shape, value.reshape(-1).view("u1"))

    def _reference(self, dtype: str, shape: tuple[int, ...], data: Any) -> Ext:
        if not self._apart or memoryview(data).nbytes < BUFFER_BYTES:
            place: tuple[object, ...] = (INLINE, dtype, shape, memoryview(data))
        else:
            self.frames.append(data)
            place = (len(self.frames) - 1, dtype, shape)
        return Ext(EXTENSION, msgspec.msgpack.encode(place))


class _Place(msgspec.Struct, array_like=True):
    """What stands in a record for a buffer."""

    index: int
    dtype: str
    shape: tuple[int, ...]
    inline: bytes = b""


_decode_place = msgspec.msgpack.Decoder(_Place).decode


def wire_type(hint: Any) -> Any:
    """Return a type that also takes a reference to a buffer, where the given one is bytes-like."""
    return hint | Ext if hint in BYTES_LIKE else hint


def is_bytes_like(hint: Any) -> bool:
    """Tell whether a large value of this type travels as a frame of its own."""
    return hint in BYTES_LIKE


class Unpacker:
    """Decodes values of one type; raises msgspec.DecodeError (or ValidationError) with the path.

    decode: decodes one value that has no buffers beside it, without a step through `unpack`.
    of: what to decode. Where a field is bytes-like, the struct says `wire_type(bytes)`, and
    `fields` says which type each such field really has.
    """

    def __init__(self, of: Any = Any, fields: Mapping[str, type] | None = None) -> None:
        self._frames: Sequence[Bytes] = ()
        self._fields = fields
        self._bytes: type | None = of if of in BYTES_LIKE else None
        wanted = wire_type(of)
        self.decode: Final = msgspec.msgpack.Decoder(wanted, ext_hook=self._buffer, dec_hook=_same).decode

    def unpack(self, raw: Raw | Bytes, frames: Sequence[Bytes] = ()) -> Any:
        """Decode one value whose buffers are in `frames`."""
        if not frames:
            return self.decode(raw)
        self._frames = frames
        try:
            return self._with_bytes(self.decode(raw))
        finally:
            self._frames = ()

    def _with_bytes(self, value: Any) -> Any:
        """Put large bytes-like values where their references stand."""
        if self._bytes and isinstance(value, Ext):
            return self._bytes(self._buffer(value.code, memoryview(value.data)))
        for name, wanted in (self._fields or {}).items():
            reference = getattr(value, name)
            if isinstance(reference, Ext):
                setattr(value, name, wanted(self._buffer(reference.code, memoryview(reference.data))))
        return value

    def _buffer(self, code: int, data: memoryview) -> Any:
        if code != EXTENSION:
            raise msgspec.ValidationError(f"extension {code} is unknown")
        place = _decode_place(data)
        if place.index == INLINE:
            return _shaped(memoryview(place.inline), place)
        if not 0 <= place.index < len(self._frames):
            raise msgspec.ValidationError(f"buffer {place.index} of {len(self._frames)} is not there")
        return _shaped(memoryview(self._frames[place.index]).toreadonly(), place)


def _shaped(data: memoryview, place: _Place) -> Any:
    """Return a buffer as what was sent; every size is checked before it is used."""
    if not place.dtype:
        return data
    numpy = sys.modules.get("numpy") or __import__("numpy")
    try:
        dtype = numpy.dtype(place.dtype)
    except TypeError as error:
        raise msgspec.ValidationError(f"`{place.dtype}` is no dtype") from error
    if dtype.hasobject or min(place.shape, default=0) < 0:
        raise msgspec.ValidationError(f"a buffer cannot be `{place.dtype}` of shape {place.shape}")
    if dtype.itemsize * math.prod(place.shape) != data.nbytes:
        raise msgspec.ValidationError(
            f"{data.nbytes} bytes are not `{place.dtype}` of shape {place.shape}",
        )
    return numpy.frombuffer(data, dtype).reshape(place.shape)


def _same(wanted: type, value: Any) -> Any:
    """Accept what arrived where a handler names a type that msgspec does not know, such as an array."""
    if isinstance(wanted, type) and isinstance(value, wanted):
        return value
    name = getattr(wanted, "__name__", wanted)
    raise msgspec.ValidationError(f"Expected `{name}`, got `{type(value).__name__}`")


class Unpackers:
    """The decoders of one thread, each made once."""

    def __init__(self) -> None:
        self._made: dict[Any, Unpacker] = {}

    def of(self, wanted: Any) -> Unpacker:
        """Return the decoder of a type; one that cannot be a key, such as some annotations, is made anew."""
        try:
            return self._made[wanted]
        except TypeError:
            return Unpacker(wanted)
        except KeyError:
            made = self._made[wanted] = Unpacker(wanted)
            return made


unpackers = Unpackers()  # of the thread of the loop


def body(kind: int, incarnation: int, records: Sequence[bytes], buffers: int = 0, state: int = 0) -> bytes:
    """Return a body that holds encoded records."""
    count = len(records)
    if count == 1:
        return head(kind, incarnation, buffers, state) + b"\x91" + records[0]
    array = bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
    return b"".join((head(kind, incarnation, buffers, state), array, *records))


def single(kind: int, incarnation: int, value: object, state: int = 0) -> bytes:
    """Return a body that holds one value."""
    return head(kind, incarnation, 0, state) + msgspec.msgpack.encode(value)


def reader(of: Any) -> Callable[[memoryview], Any]:
    """Return a function that decodes what stands behind the header of a body as `of`."""
    decode = msgspec.msgpack.Decoder(of).decode

    def read(message: memoryview) -> Any:
        return decode(message[HEADER_BYTES:])

    return read


read_calls = reader(list[CallRecord])
read_replies = reader(list[ReplyRecord])
read_ids = reader(list[int])
read_credits = reader(list[tuple[int, int]])
read_hello = reader(Hello)
read_welcome = reader(Welcome)
read_beat = reader(Beat)
read_event = reader(EventRecord)
