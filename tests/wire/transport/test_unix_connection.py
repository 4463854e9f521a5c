"""Unix connection: whole messages from any pieces, backpressure, and the end of the connection."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.wire.transport.reactor import BlockingReactor
from argosy.wire.transport.unix_connection import READ_BYTES, SEND_BUFFER_BYTES, UnixConnection
from launch import until

MIB = 1024 * 1024

messages = st.tuples(st.binary(max_size=300), st.lists(st.binary(max_size=200), max_size=3))


@contextmanager
def pair(max_unsent_bytes: int = 0) -> Iterator[tuple[UnixConnection, UnixConnection, BlockingReactor]]:
    """Yield both ends of a link, on one reactor."""
    reactor = BlockingReactor()
    left, right = (UnixConnection(end, reactor, "here", max_unsent_bytes) for end in socket.socketpair())
    try:
        yield left, right, reactor
    finally:
        left.close()
        right.close()


@contextmanager
def connection_with_raw_peer() -> Iterator[tuple[socket.socket, UnixConnection]]:
    """Yield a plain socket and the link at its other end."""
    raw, end = socket.socketpair()
    link = UnixConnection(end, BlockingReactor())
    try:
        yield raw, link
    finally:
        raw.close()
        link.close()


def plain(message: list[memoryview]) -> tuple[bytes, list[bytes]]:
    return message[0].tobytes(), [frame.tobytes() for frame in message[1:]]


def received(link: UnixConnection) -> Iterator[tuple[bytes, list[bytes]]]:
    """Yield what is there, as told by the descriptor again and again."""
    while message := link.receive(is_readable=True):
        yield plain(message)


def as_sent(sent: list[tuple[bytes, list[bytes]]]) -> bytes:
    """Return the bytes that messages travel as."""
    raw, end = socket.socketpair()
    with raw:
        raw.settimeout(10)
        link = UnixConnection(end, BlockingReactor())
        for body, buffers in sent:
            assert link.send(body, buffers)
        link.close()
        return b"".join(iter(lambda: raw.recv(MIB), b""))


@given(st.lists(messages, max_size=6), st.lists(st.integers(1, 400), max_size=12))
def test_unix_connection_reassembles_messages_from_any_pieces(
    sent: list[tuple[bytes, list[bytes]]], sizes: list[int]
) -> None:
    data = as_sent(sent)
    got = []
    with connection_with_raw_peer() as (raw, link):
        for size in [*sizes, max(1, len(data))]:
            raw.sendall(data[:size])
            data = data[size:]
            got += received(link)
    assert got == sent


@given(st.binary(max_size=200))
def test_unix_connection_survives_any_bytes(data: bytes) -> None:
    with connection_with_raw_peer() as (raw, link):
        raw.sendall(data)
        for body, buffers in received(link):
            assert len(body) + sum(map(len, buffers)) <= len(data)
        assert link.end_reason() in ("", "it sent what cannot be read")


@pytest.mark.parametrize(
    "head", [struct.pack("<II", 2**32 - 1, 0), struct.pack("<II", 0, 2**31), struct.pack("<III", 1, 1, 2**31)]
)
def test_unix_connection_ends_on_impossible_sizes(head: bytes) -> None:
    """Before memory is taken for them."""
    with connection_with_raw_peer() as (raw, link):
        raw.sendall(head)
        assert link.receive(is_readable=True) is None
        assert link.end_reason() == "it sent what cannot be read"


def test_unix_connection_sends_queued_data_when_writable() -> None:
    sent = [(b"%d" % n * READ_BYTES, [bytes([n]) * SEND_BUFFER_BYTES, b"", b"end"]) for n in range(5)]
    with pair() as (left, right, reactor):
        got: list[tuple[bytes, list[bytes]]] = []
        reactor.add_reader(right.fd, lambda: got.extend(received(right)))
        for body, buffers in sent:
            assert left.send(body, buffers) is True
        assert left.send(b"last") is True
        reactor.run_until(lambda: len(got) == 6)
        assert got == [*sent, (b"last", [])]
        assert left.end_reason() == ""


def test_received_frames_have_separate_aligned_memory() -> None:
    """An array that began anywhere in a shared buffer would not be aligned."""
    with connection_with_raw_peer() as (raw, link):
        raw.sendall(as_sent([(b"odd", [struct.pack("<d", 1.5) * 8])]))
        message = link.receive(is_readable=True)
        assert message is not None
        assert message[1].obj is not message[0].obj
        assert message[1].cast("d")[7] == 1.5


def test_send_returns_none_when_peer_stops_reading_and_loses_nothing() -> None:
    with pair(max_unsent_bytes=MIB) as (left, right, reactor):
        taken = 0
        while left.send(b"x" * READ_BYTES):
            taken += 1
        assert left.send(b"more") is None
        assert MIB <= taken * READ_BYTES < 2 * MIB + 2 * SEND_BUFFER_BYTES
        got: list[tuple[bytes, list[bytes]]] = []
        reactor.add_reader(right.fd, lambda: got.extend(received(right)))
        reactor.run_until(lambda: len(got) == taken)
        assert left.send(b"more") is True
        reactor.run_until(lambda: len(got) == taken + 1)


def test_messages_received_before_disconnect_are_delivered() -> None:
    with pair() as (left, right, _):
        for number in range(100):
            assert left.send(b"%d" % number)
        left.close()
        first = right.receive(is_readable=True)
        assert first is not None
        assert right.end_reason() == ""
        assert [plain(first)[0], *(body for body, _ in received(right))] == [b"%d" % n for n in range(100)]
        assert right.end_reason() == "its connection ended"


def test_send_returns_false_after_disconnect() -> None:
    """So a request that was never sent is known not to have been sent."""
    with pair() as (left, right, _):
        right.close()
        assert left.send(b"x") is False
        assert left.send(b"x" * MIB, [b"y" * MIB]) is False


def test_disconnect_with_unsent_data_is_reported() -> None:
    with pair() as (left, right, reactor):
        while left.send(b"x" * READ_BYTES) and not left._unsent:
            pass
        right.close()
        reactor.add_reader(left.fd, lambda: left.receive(is_readable=True))
        reactor.run_until(lambda: bool(left.end_reason()))
        assert left.end_reason() == "its connection ended"
        assert not left._unsent


def test_close_with_linger_sends_queued_data() -> None:
    with connection_with_raw_peer() as (raw, link):
        raw.settimeout(10)
        while not link._unsent:
            link.send(b"x" * READ_BYTES)
        waiting = sum(part.nbytes for part in link._unsent)
        there = raw.recv(MIB)
        began = time.monotonic()
        link.close(linger=True)
        assert time.monotonic() - began < 5
        there += b"".join(iter(lambda: raw.recv(MIB), b""))
        assert len(there) >= waiting


def test_wait_returns_true_only_if_message_arrived() -> None:
    with pair() as (left, right, _):
        assert right.wait() is False
        left.send(b"now")
        assert right.wait() is True
        message = right.receive()
        assert message is not None
        assert plain(message) == (b"now", [])
        left.close()
        until(lambda: not right.wait() and right.end_reason() == "its connection ended")
