"""Frame header: round trip, versions, and recognition of msgpack and JSON messages."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from argosy.wire.protocol import frame


@given(st.sampled_from(sorted(frame.KINDS)), st.integers(0, 2**64 - 1), st.integers(0, 2**16 - 1))
def test_header_round_trips(kind: int, incarnation: int, buffers: int) -> None:
    before = time.monotonic_ns() // 1000
    head = frame.pack_header(kind, incarnation, buffers, 3)
    assert len(head) == frame.HEADER_BYTES
    read = frame.unpack_header(head)
    assert read is not None
    assert read[:4] == (kind, buffers, 3, incarnation)
    assert before <= read[4] <= time.monotonic_ns() // 1000


def test_header_of_other_version_has_kind_zero() -> None:
    head = bytearray(frame.pack_header(frame.CALL, 1))
    head[3] = 2
    read = frame.unpack_header(head)
    assert read is not None
    assert read[0] == 0


@given(st.binary(max_size=40))
def test_unpack_header_accepts_only_argosy_magic(data: bytes) -> None:
    assert bool(frame.unpack_header(data)) == (data[:3] == b"\xc1AG" and len(data) >= 24)


@given(st.text())
def test_unpack_header_accepts_no_text(text: str) -> None:
    assert not frame.unpack_header(text.encode("utf-8", "replace"))


def test_json_envelope_is_split_for_req_proxy_and_dealer() -> None:
    json = b'{"action": "health"}'
    assert frame.split_json_envelope([b"", json]) == ([b""], json)  # REQ
    assert frame.split_json_envelope([b"\x01\x02\x03\x04", b"", json]) == (
        [b"\x01\x02\x03\x04", b""],
        json,
    )  # REQ_CORRELATE
    assert frame.split_json_envelope([b"hop", b"hop", b"", json]) == (
        [b"hop", b"hop", b""],
        json,
    )  # through a proxy
    assert frame.split_json_envelope([json]) == ((), json)  # DEALER
    assert frame.split_json_envelope([b"", b"not json"]) == ([b""], b"not json")  # told so in its envelope


def test_split_json_envelope_rejects_other_messages() -> None:
    assert frame.split_json_envelope([]) is None
    assert frame.split_json_envelope([b"hello"]) is None
    assert frame.split_json_envelope([b""]) is None
    assert frame.split_json_envelope([b"", b"{}", b"{}"]) is None
    assert frame.split_json_envelope([b"x"] * 8 + [b"", b"{}"]) is None
