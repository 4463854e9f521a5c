"""Codec: values round-trip through bytes, and no bytes raise unexpected errors."""

from __future__ import annotations

import datetime
from concurrent.futures import Future
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from argosy.wire.client.pending_call import CallFactory, EncodedReply
from argosy.wire.protocol import codec, frame

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.lists(st.dictionaries(st.text(min_size=1), plain), max_size=200))
def test_calls_round_trip(arguments: list[dict[str, Any]]) -> None:
    packer = codec.Packer()
    records = [packer.pack((i, "m", i * 7, each, "t")) for i, each in enumerate(arguments)]
    body = memoryview(codec.encode_batch(frame.CALL, 5, records))
    head = frame.unpack_header(body)
    assert head is not None
    assert head[:4] == (frame.CALL, 0, 0, 5)
    unpack = codec.Unpacker().unpack
    read = codec.read_calls(body)
    assert [(r.id, r.method, r.deadline_us, unpack(r.arguments), r.trace) for r in read] == [
        (i, "m", i * 7, each, "t") for i, each in enumerate(arguments)
    ]


@given(st.datetimes(timezones=st.just(datetime.UTC)) | st.uuids() | st.decimals(allow_nan=False) | st.dates())
def test_typed_values_round_trip(value: Any) -> None:
    assert codec.Unpacker(type(value)).unpack(Raw(codec.Packer().pack(value))) == value


@given(st.binary(max_size=300))
def test_decoders_raise_only_decode_errors(data: bytes) -> None:
    readers = [
        codec.read_calls, codec.read_replies, codec.read_ids, codec.read_credits,
        codec.read_hello, codec.read_welcome, codec.read_heartbeat, codec.read_event,
    ]  # fmt: skip
    for read in readers:
        try:
            read(memoryview(frame.pack_header(frame.CALL, 1) + data))
        except codec.DECODE_ERRORS:
            continue


@given(st.binary(max_size=200), st.lists(st.binary(max_size=100), max_size=2))
def test_buffer_reference_cannot_read_outside_its_buffers(place: bytes, buffers: list[bytes]) -> None:
    value = msgspec.msgpack.encode(msgspec.msgpack.Ext(codec.EXTENSION, place))
    try:
        result = codec.Unpacker().unpack(value, [memoryview(b) for b in buffers])
    except codec.DECODE_ERRORS:
        return
    assert isinstance(result, memoryview)
    assert result.readonly


@given(st.binary(max_size=64), st.integers(0, 3))
def test_large_bytes_are_sent_as_separate_frames(seed: bytes, times: int) -> None:
    data = (seed * (times * 70_000 // max(1, len(seed))))[: times * 70_000] + seed
    packer = codec.Packer()
    record = packer.pack(packer.extract_buffer(data))
    frames = packer.take_frames()
    assert len(frames) == (len(data) >= codec.BUFFER_THRESHOLD_BYTES)
    assert codec.Unpacker(bytes).unpack(record, [memoryview(f) for f in frames]) == data


def test_unpacker_rejects_unknown_extension() -> None:
    with pytest.raises(msgspec.ValidationError, match="extension 7 is unknown"):
        codec.Unpacker().unpack(msgspec.msgpack.encode(msgspec.msgpack.Ext(7, b"")))


def test_failed_encoding_leaves_no_frames_for_next_call() -> None:
    maker = CallFactory("Peer")
    sink: Future[EncodedReply] = Future()
    with pytest.raises(TypeError, match="`object` has no encoding"):
        maker.make_call("m", {"a": b"x" * codec.BUFFER_THRESHOLD_BYTES, "b": object()}, 1.0, sink, "", None)
    assert maker.make_call("m", {"a": 1}, 1.0, sink, "", None).buffers == ()


class TestArrays:
    """Arrays, where numpy is installed; argosy itself never needs it."""

    @pytest.fixture
    def numpy(self) -> Any:
        return pytest.importorskip("numpy")

    @pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (256, 256), (4, 0, 2)])
    @pytest.mark.parametrize("dtype", ["<f4", ">i2", "|b1", "<c16", "<M8[s]"])
    def test_arrays_round_trip_as_read_only(self, numpy: Any, shape: tuple[int, ...], dtype: str) -> None:
        sent = numpy.zeros(shape, dtype)
        packer = codec.Packer()
        record = packer.pack({"a": sent})
        frames = [memoryview(f) for f in packer.take_frames()]
        back = codec.Unpacker(dict[str, numpy.ndarray]).unpack(record, frames)["a"]
        assert (back.shape, back.dtype) == (sent.shape, sent.dtype)
        assert (back == sent).all()
        assert not back.flags.writeable

    def test_arrays_of_any_memory_layout_round_trip(self, numpy: Any) -> None:
        for sent in (numpy.arange(60).reshape(3, 4, 5)[::-1, ::2], numpy.asfortranarray(numpy.eye(200))):
            packer = codec.Packer()
            record = packer.pack(sent)
            back = codec.Unpacker().unpack(record, [memoryview(f) for f in packer.take_frames()])
            assert (back == sent).all()

    def test_packer_rejects_object_arrays(self, numpy: Any) -> None:
        with pytest.raises(TypeError, match="dtype `object`"):
            codec.Packer().pack(numpy.array([object()]))

    @pytest.mark.parametrize(
        "place",
        [
            (0, "<f4", (3,)),
            (0, "O", (1,)),
            (0, "nonsense", (8,)),
            (0, "<f4", (-1, -2)),
            (1, "<f4", (2,)),
            (0, "<f4", (2**62, 4)),
        ],
    )
    def test_unpacker_rejects_array_with_invalid_size_or_dtype(
        self, numpy: Any, place: tuple[Any, ...]
    ) -> None:
        value = msgspec.msgpack.encode(msgspec.msgpack.Ext(codec.EXTENSION, msgspec.msgpack.encode(place)))
        with pytest.raises(msgspec.ValidationError):
            codec.Unpacker().unpack(value, [memoryview(b"12345678")])


def test_unpacker_cache_supports_unhashable_types() -> None:
    """`Annotated` with a list or a dict in its metadata cannot be a key."""
    unpackers = codec.UnpackerCache()
    assert unpackers.get(int) is unpackers.get(int)
    odd = Annotated[list[int], msgspec.Meta(extra={"unit": ["m"]}), ["anything"]]
    assert unpackers.get(odd).unpack(Raw(codec.Packer().pack([1, 2]))) == [1, 2]
    with pytest.raises(msgspec.ValidationError):
        unpackers.get(odd).unpack(Raw(codec.Packer().pack(["x"])))
