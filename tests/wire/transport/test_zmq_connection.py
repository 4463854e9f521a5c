"""ZeroMQ connection: bound to one incarnation of the peer, and the report of its end."""

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
def test_zmq_connection_sends_nothing_to_next_incarnation(tmp_path: Path, kind: str) -> None:
    """By default ZeroMQ connects again, and gives it what was meant for the dead one."""
    with zmq.Context() as context:
        first = router(context, f"ipc://{tmp_path}/s" if kind == "ipc" else "tcp://127.0.0.1:*")
        endpoint = first.getsockopt_string(zmq.LAST_ENDPOINT)
        conn = ZmqConnection(endpoint)
        conn.send(b"first")
        assert first.recv_multipart()[1] == b"first"
        assert conn.end_reason() == ""
        first.close()
        until(lambda: conn.end_reason() == "its connection ended")
        conn.send(b"second")
        second = router(context, endpoint)
        assert second.poll(300) == 0
        second.close()
        conn.close()


def test_messages_received_before_disconnect_are_delivered(tmp_path: Path) -> None:
    """RECONNECT_IVL=-1 and IMMEDIATE=1 would destroy it."""
    with zmq.Context() as context:
        peer = router(context, f"ipc://{tmp_path}/s")
        conn = ZmqConnection(f"ipc://{tmp_path}/s")
        conn.send(b"question")
        who = peer.recv_multipart()[0]
        for number in range(100):
            peer.send_multipart([who, b"%d" % number])
        peer.close(1000)
        until(conn.end_reason)
        answers = [bytes(message[0]) for message in iter(conn.receive, None)]
        assert answers == [b"%d" % number for number in range(100)]
        conn.close()


def test_unbound_endpoint_is_reported_as_end_reason() -> None:
    conn = ZmqConnection("tcp://127.99.99.99:9")
    assert conn.receive() is None
    until(lambda: conn.end_reason() == "nobody answers there")
    conn.close()
    conn.close()


def test_send_after_failed_handshake_returns_false() -> None:
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
    conn = ZmqConnection(endpoint)
    until(conn.end_reason)
    sent = conn.send(b"greeting")
    assert conn.send(b"greeting", [b"and a buffer"]) == sent
    conn.close()
    return not sent
