"""Backlog of pending calls: every call is sent once, in order, in bounded batches."""

from __future__ import annotations

from concurrent.futures import Future

from hypothesis import given
from hypothesis import strategies as st

from argosy.wire.client.pending_call import Backlog, EncodedReply, PendingCall
from argosy.wire.protocol import codec

SINK: Future[EncodedReply] = Future()


def call_of(number: int, size: int, buffers: int) -> PendingCall:
    return PendingCall(number, "m", 0, SINK, None, b"x" * size, (b"y",) * buffers)


calls = st.lists(
    st.tuples(st.sampled_from([1, 100, codec.MAX_BATCH_BYTES // 3]), st.sampled_from([0, 0, 0, 1]))
)


@given(calls, st.integers(1, 80), st.integers(0, 1024), st.integers(0, 5))
def test_backlog_sends_every_call_once_in_order(
    sizes: list[tuple[int, int]], room: int, in_flight: int, back: int
) -> None:
    backlog = Backlog()
    backlog.recount(in_flight)
    for number, (size, buffers) in enumerate(sizes):
        backlog.add(call_of(number, size, buffers))
    left: list[int] = []
    while backlog.calls:
        taken, buffers_of = backlog.take(room)
        if back:  # its lane was lost
            backlog.put_back(taken)
            back -= 1
            continue
        assert 1 <= len(taken) <= min(room, max(codec.MAX_BATCH, codec.MIN_BATCH))
        assert len(taken) == 1 or not any(c.buffers for c in taken)
        assert tuple(buffers_of) == tuple(taken[0].buffers)
        assert sum(len(c.record) for c in taken[:-1]) <= codec.MAX_BATCH_BYTES
        left += [c.id for c in taken]
        backlog.recount(in_flight)
    assert left == list(range(len(sizes)))


def test_batch_size_grows_with_calls_in_flight_up_to_maximum() -> None:
    backlog = Backlog()
    batches = []
    for in_flight in (0, 32, 128, 10_000):
        backlog.recount(in_flight)
        batches.append(backlog.batch_size)
    assert batches == [codec.MIN_BATCH, codec.MIN_BATCH, 32, codec.MAX_BATCH]


def test_backlog_add_reports_full_batch() -> None:
    backlog = Backlog()
    is_full = [backlog.add(call_of(number, 10, 0)) for number in range(codec.MIN_BATCH)]
    assert is_full == [False] * (codec.MIN_BATCH - 1) + [True]
    assert Backlog().add(call_of(0, codec.MAX_BATCH_BYTES, 0))
