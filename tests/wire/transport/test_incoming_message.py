"""Large incoming messages: reassembly from pieces, and memory bounds against claimed sizes."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from argosy.wire.client.channel import Channel
from argosy.wire.client.pending_call import CallFactory
from argosy.wire.errors import TooLarge
from argosy.wire.protocol import codec, frame
from argosy.wire.server import unix_listener
from argosy.wire.server.incoming_request import IncomingRequest
from argosy.wire.server.rpc_server import RpcServer
from argosy.wire.transport import incoming_message
from argosy.wire.transport.incoming_message import IncomingMessage, ReceiveBudget
from argosy.wire.transport.reactor import BlockingReactor

from ..server.test_unix_listener import CollectedReplies, serve_at

MIB = 1024 * 1024
CLAIM = struct.pack("<III", 100, 1, 250 * MIB)


@given(st.lists(st.integers(0, 300_000), max_size=5), st.lists(st.integers(1, 200_000), max_size=30))
def test_incoming_message_reassembles_frames_from_any_pieces(sizes: list[int], pieces: list[int]) -> None:
    frames = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    data = memoryview(b"".join(frames) + b"next")
    message = IncomingMessage(sizes)
    for piece in [*pieces, len(data)]:
        taken = message.consume(data[:piece])
        data = data[taken:]
    assert message.is_complete
    assert [each.tobytes() for each in message.frames] == frames
    assert data.tobytes() == b"next"


@given(st.integers(1, 3 * MIB))
def test_incoming_message_memory_follows_received_bytes(came: int) -> None:
    message = IncomingMessage([256 * MIB])
    left = came
    held = 0
    while left:
        with message.writable_space() as room:
            held = max(held, came - left + len(room))
            count = min(left, len(room))
        message.advance(count)
        left -= count
    assert held <= max(64 * 1024, 32 * came)


def test_receive_budget_defers_message_beyond_total() -> None:
    budget = ReceiveBudget(total_bytes=100)
    first, second, third = (IncomingMessage([size]) for size in (60, 40, 1))
    assert budget.admit(first)
    assert budget.admit(second)
    assert not budget.is_exhausted
    assert not budget.admit(third)
    assert budget.is_exhausted
    budget.release(first)
    assert budget.admit(third)


def test_receive_budget_admits_oversized_message_alone() -> None:
    budget = ReceiveBudget(total_bytes=100)
    large, small = IncomingMessage([1000]), IncomingMessage([1])
    assert budget.admit(large)
    assert not budget.admit(small)
    budget.release(large)
    assert budget.admit(small)


def connect(endpoint: str, *sent: bytes) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(10)
    stream.connect(f"{endpoint.removeprefix('ipc://')}.u")
    for each in sent:
        stream.sendall(each)
    return stream


def hello() -> bytes:
    body = codec.encode_single(frame.HELLO, 1, codec.Hello(1, "test"))
    return struct.pack("<II", len(body), 0) + body


def test_server_disconnects_large_message_before_hello(tmp_path: Path) -> None:
    endpoint, reactor = f"ipc://{tmp_path}/e", BlockingReactor()
    with (
        serve_at(endpoint, reactor, []) as running_server,
        connect(endpoint, struct.pack("<II", 70_000, 0)) as stranger,
    ):
        ended: list[bytes] = []
        reactor.add_reader(stranger.fileno(), lambda: ended.append(stranger.recv(1)))
        reactor.run_until(lambda: bool(ended))
        reactor.remove_reader(stranger.fileno())
        assert ended == [b""]
        assert running_server.statistics()["clients"] == 0


@contextmanager
def stalled_clients(
    endpoint: str, reactor: BlockingReactor, running_server: RpcServer, count: int
) -> Iterator[None]:
    """Hold so many welcomed connections that each claim a message of 250 MiB and send nothing of it."""
    streams = [connect(endpoint, hello()) for _ in range(count)]
    reactor.run_until(lambda: running_server.statistics()["clients"] == count)
    for stream in streams:
        stream.sendall(CLAIM)
    try:
        yield
    finally:
        for stream in streams:
            stream.close()


def test_stalled_claims_yield_receive_budget_to_active_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming_message, "STALL_TIMEOUT_S", 0.2)
    monkeypatch.setattr(unix_listener, "RECEIVE_BUDGET", ReceiveBudget(total_bytes=600 * MIB))
    endpoint, reactor = f"ipc://{tmp_path}/e", BlockingReactor()
    delivered: list[IncomingRequest] = []
    with (
        serve_at(endpoint, reactor, delivered) as running_server,
        stalled_clients(endpoint, reactor, running_server, 5),
    ):
        channel = Channel("Echo", lambda: endpoint, reactor)
        channel.submit("large", {"data": bytes(200 * MIB)}, 60.0, CollectedReplies(), "")
        reactor.run_until(lambda: bool(delivered))
        assert delivered[0].method == "large"
        channel.close()


AGENT = """
import sys
from argosy.wire.client.pending_call import CallFactory
from argosy.wire.server.rpc_server import RpcServer
from argosy.wire.transport.reactor import BlockingReactor
reactor = BlockingReactor()
running_server = RpcServer("Echo", reactor, lambda inquiry: inquiry.reply("pong"))
running_server.bind([sys.argv[1]])
running_server.open()
print("ready", flush=True)
reactor.run_until(lambda: False)
"""


def test_agent_answers_within_100_mib_under_100_large_claims(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/e"
    with subprocess.Popen([sys.executable, "-c", AGENT, endpoint], stdout=subprocess.PIPE) as agent:
        try:
            assert agent.stdout is not None
            assert agent.stdout.readline() == b"ready\n"
            streams = [connect(endpoint, hello()) for _ in range(100)]
            for stream in streams:
                assert stream.recv(1)  # it is welcomed
                stream.sendall(CLAIM + bytes(1000))
            reactor, answers = BlockingReactor(), CollectedReplies()
            channel = Channel("Echo", lambda: endpoint, reactor)
            channel.submit("ping", {}, 10.0, answers, "")
            reactor.run_until(lambda: bool(answers.got))
            assert not isinstance(answers.got[0], BaseException)
            channel.close()
            status = Path(f"/proc/{agent.pid}/status").read_text()
            assert int(status.split("VmHWM:")[1].split()[0]) < 100 * 1024
            for stream in streams:
                stream.close()
        finally:
            agent.kill()


def test_server_drops_multipart_message_above_total_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them is within the bound that ZeroMQ holds."""
    monkeypatch.setattr(codec, "MAX_MESSAGE_BYTES", MIB)
    endpoint, reactor = f"ipc://{tmp_path}/e", BlockingReactor()
    with serve_at(endpoint, reactor, []) as running_server, zmq.Context() as context:
        dealer = context.socket(zmq.DEALER)
        dealer.linger = 0
        dealer.connect(endpoint)
        dealer.send_multipart([b"{}", *[bytes(MIB // 2)] * 4])
        reactor.run_until(lambda: running_server.statistics()["dropped"] == 1)
        dealer.close()


def test_call_factory_limits_total_size_of_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "MAX_RECORD_BYTES", MIB)
    halves = {"left": bytes(MIB // 2), "right": bytes(MIB // 2)}
    with pytest.raises(TooLarge, match="at most 1048576 are carried"):
        CallFactory("Echo").make_call("join", halves, 1.0, CollectedReplies(), "", None)
