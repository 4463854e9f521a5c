"""The header, and how the speakers of three tongues are told apart."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from argosy.wire.protocol import frame


@given(st.sampled_from(sorted(frame.KINDS)), st.integers(0, 2**64 - 1), st.integers(0, 2**16 - 1))
def test_a_header_comes_back(kind: int, incarnation: int, buffers: int) -> None:
    before = time.monotonic_ns() // 1000
    head = frame.pack_header(kind, incarnation, buffers, 3)
    assert len(head) == frame.HEADER_BYTES
    read = frame.unpack_header(head)
    assert read is not None
    assert read[:4] == (kind, buffers, 3, incarnation)
    assert before <= read[4] <= time.monotonic_ns() // 1000


def test_another_version_is_no_kind_of_ours() -> None:
    head = bytearray(frame.pack_header(frame.CALL, 1))
    head[3] = 2
    read = frame.unpack_header(head)
    assert read is not None
    assert read[0] == 0


@given(st.binary(max_size=40))
def test_only_our_header_is_ours(data: bytes) -> None:
    assert bool(frame.unpack_header(data)) == (data[:3] == b"\xc1AG" and len(data) >= 24)


@given(st.text())
def test_no_text_is_taken_for_ours(text: str) -> None:
    assert not frame.unpack_header(text.encode("utf-8", "replace"))


def test_old_speakers_are_answered_in_their_envelope() -> None:
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


def test_what_is_neither_is_not_guessed_at() -> None:
    assert frame.split_json_envelope([]) is None
    assert frame.split_json_envelope([b"hello"]) is None
    assert frame.split_json_envelope([b""]) is None
    assert frame.split_json_envelope([b"", b"{}", b"{}"]) is None
    assert frame.split_json_envelope([b"x"] * 8 + [b"", b"{}"]) is None
