"""A lane: one connection to one incarnation, and the news that it ended."""

from __future__ import annotations

from pathlib import Path

import pytest
import zmq

from argosy.wire.transport.zmq_connection import ZmqConnection
from launch import until


def router(context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> zmq.Socket[bytes]:
    made = context.socket(zmq.ROUTER)
    made.linger = 0
    made.rcvtimeo = 5000
    made.bind(endpoint)
    return made


@pytest.mark.parametrize("kind", ["ipc", "tcp"])
def test_nothing_is_delivered_to_the_next_incarnation(tmp_path: Path, kind: str) -> None:
    """By default ZeroMQ connects again, and gives it what was meant for the dead one."""
    with zmq.Context() as context:
        first = router(context, f"ipc://{tmp_path}/s" if kind == "ipc" else "tcp://127.0.0.1:*")
        endpoint = first.getsockopt_string(zmq.LAST_ENDPOINT)
        lane = ZmqConnection(endpoint)
        lane.send(b"first")
        assert first.recv_multipart()[1] == b"first"
        assert lane.end_reason() == ""
        first.close()
        until(lambda: lane.end_reason() == "its connection ended")
        lane.send(b"second")
        second = router(context, endpoint)
        assert second.poll(300) == 0
        second.close()
        lane.close()


def test_what_arrived_before_the_end_is_still_there(tmp_path: Path) -> None:
    """RECONNECT_IVL=-1 and IMMEDIATE=1 would destroy it."""
    with zmq.Context() as context:
        peer = router(context, f"ipc://{tmp_path}/s")
        lane = ZmqConnection(f"ipc://{tmp_path}/s")
        lane.send(b"question")
        who = peer.recv_multipart()[0]
        for number in range(100):
            peer.send_multipart([who, b"%d" % number])
        peer.close(1000)
        until(lane.end_reason)
        answers = [bytes(message[0]) for message in iter(lane.receive, None)]
        assert answers == [b"%d" % number for number in range(100)]
        lane.close()


def test_an_end_that_nobody_holds_is_told() -> None:
    lane = ZmqConnection("tcp://127.99.99.99:9")
    assert lane.receive() is None
    until(lambda: lane.end_reason() == "nobody answers there")
    lane.close()
    lane.close()


def test_what_is_sent_after_a_refusal_is_known_to_be_unsent() -> None:
    """Where this side is the first to see that they do not fit, ZeroMQ takes its queue away."""
    with zmq.Context() as context:
        keyed: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        keyed.linger = 0
        keyed.curve_server = 1
        keyed.curve_secretkey = zmq.curve_keypair()[1]
        endpoint = f"tcp://127.0.0.1:{keyed.bind_to_random_port('tcp://127.0.0.1')}"
        until(lambda: _is_unsent(endpoint))
        keyed.close()


def _is_unsent(endpoint: str) -> bool:
    lane = ZmqConnection(endpoint)
    until(lane.end_reason)
    sent = lane.send(b"greeting")
    assert lane.send(b"greeting", [b"and a buffer"]) == sent
    lane.close()
    return not sent
