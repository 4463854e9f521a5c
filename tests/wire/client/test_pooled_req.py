"""Pooled REQ requests: one connection for many requests, and no reply to another request."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq

from argosy.wire.client import pooled_req
from argosy.wire.zmq_context.context_handle import context, shared_context
from launch import LittleFleet, until

# A plain REP server in a process of its own: answers as it is told, and tells how many connected.
REP = """
import json, sys, time, zmq
context = zmq.Context()
rep = context.socket(zmq.REP)
rep.linger = 0
monitor = rep.get_monitor_socket(zmq.EVENT_ACCEPTED)
rep.bind(sys.argv[1])
print("bound", rep.get(zmq.LAST_ENDPOINT).decode(), flush=True)
accepted = 0
while True:
    question = rep.recv()
    while monitor.poll(0):
        monitor.recv_multipart()
        accepted += 1
    if question.startswith(b"{"):
        asked = json.loads(question)
        time.sleep(asked.get("sleep", 0))
        rep.send_json({"asked": asked, "accepted": accepted})
    elif question == b"two":
        rep.send_multipart([b"first", b"second"])
    else:
        rep.send(question.upper())
"""


class Server:
    def __init__(self, endpoint: str = "tcp://127.0.0.1:*") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", REP, endpoint], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def bound(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().split()[1]

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    made: list[Server] = []
    yield made
    pooled_req._close_all_idle()
    for each in made:
        each.end()


@pytest.fixture
def server(servers: list[Server]) -> str:
    servers.append(Server())
    return servers[0].bound()


def accepted(endpoint: str) -> int:
    count: int = pooled_req.send_json_request(endpoint, {}, 5000)["accepted"]
    return count


def test_pooled_requests_share_one_connection(server: str) -> None:
    for number in range(100):
        assert pooled_req.send_json_request(server, {"n": number}, 5000) == {
            "asked": {"n": number},
            "accepted": 1,
        }
    assert pooled_req.send_request(server, b"as bytes", 5000) == b"AS BYTES"
    assert pooled_req.send_request(server, b"two", 5000) == b"first"
    assert accepted(server) == 1


def test_non_json_reply_raises_value_error_and_keeps_connection(server: str) -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        pooled_req.send_json_request(server, None, 5000)  # `NULL` comes back
    assert accepted(server) == 1


def test_late_reply_is_discarded(server: str) -> None:
    began = time.monotonic()
    with pytest.raises(zmq.Again):
        pooled_req.send_json_request(server, {"sleep": 0.5, "n": 1}, 100)
    assert 0.1 <= time.monotonic() - began < 0.4
    assert pooled_req.send_json_request(server, {"n": 2}, 5000) == {"asked": {"n": 2}, "accepted": 2}


def test_pooled_request_is_never_sent_twice(servers: list[Server]) -> None:
    """The peer takes it and dies; the next one at the same place gets only what is asked then."""
    with zmq.Context() as context:
        first = context.socket(zmq.REP)
        first.bind("tcp://127.0.0.1:*")
        endpoint = first.get(zmq.LAST_ENDPOINT).decode()
        errors: list[BaseException] = []

        def ask() -> None:
            try:
                pooled_req.send_request(endpoint, b"once", 1500)
            except zmq.Again as error:
                errors.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        assert first.recv() == b"once"
        first.close(0)
        second = context.socket(zmq.REP)
        second.linger = 0
        until(lambda: _binds(second, endpoint))
        asking.join(10)
        assert len(errors) == 1
        assert not second.poll(200)
        second.close()


def _binds(socket: zmq.Socket[bytes], endpoint: str) -> bool:
    try:
        socket.bind(endpoint)
    except zmq.ZMQError:
        return False
    return True


def test_request_reaches_restarted_server_after_timeout(servers: list[Server]) -> None:
    servers.append(Server())
    endpoint = servers[0].bound()
    assert accepted(endpoint) == 1
    servers[0].end()
    with pytest.raises(zmq.Again):
        pooled_req.send_request(endpoint, b"nobody", 200)
    servers.append(Server(endpoint))
    servers[1].bound()
    assert pooled_req.send_request(endpoint, b"again", 5000) == b"AGAIN"


def test_ended_idle_connection_is_not_reused(servers: list[Server]) -> None:
    servers.append(Server())
    endpoint = servers[0].bound()
    assert accepted(endpoint) == 1
    servers[0].end()
    servers.append(Server(endpoint))
    servers[1].bound()
    assert pooled_req.send_request(endpoint, b"at once", 5000) == b"AT ONCE"


def test_request_waits_for_server_to_start(servers: list[Server]) -> None:
    with zmq.Context() as context, context.socket(zmq.REP) as place:
        place.bind("tcp://127.0.0.1:*")
        endpoint = place.get(zmq.LAST_ENDPOINT).decode()
    coming = threading.Timer(0.3, lambda: servers.append(Server(endpoint)))
    coming.start()
    assert pooled_req.send_json_request(endpoint, {"n": 1}, 10_000)["asked"] == {"n": 1}
    coming.join()


def test_threads_use_separate_connections_and_leak_no_descriptors(server: str) -> None:
    wrong: list[str] = []
    before = len(os.listdir("/proc/self/fd"))

    def ask(number: int) -> None:
        for turn in range(50):
            asked = {"n": number, "turn": turn}
            wrong.extend(
                [] if pooled_req.send_json_request(server, asked, 5000)["asked"] == asked else [str(asked)]
            )

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    assert accepted(server) == 9
    pooled_req._close_all_idle()
    # The process's context, where this is its first use, keeps a few.
    until(lambda: len(os.listdir("/proc/self/fd")) <= before + 12)


def test_forked_child_uses_its_own_connection(server: str) -> None:
    assert accepted(server) == 1
    child = os.fork()
    if not child:
        answer = 1
        try:
            answer = 0 if accepted(server) == 2 else 1
        finally:
            os._exit(answer)
    assert os.waitpid(child, 0)[1] == 0
    assert accepted(server) == 2  # the parent's is as it was


def test_pool_keeps_at_most_max_idle_connections(server: str) -> None:
    for number in range(2 * pooled_req.MAX_IDLE):
        host = f"127.0.0.{number + 1}"
        with pytest.raises(zmq.Again):
            pooled_req.send_request(f"tcp://{host}:9", b"nobody", 0)
    assert list(pooled_req._idle_connections()) == []
    with zmq.Context() as context, context.socket(zmq.REP) as rep:
        rep.bind("tcp://*:*")
        port = rep.get(zmq.LAST_ENDPOINT).decode().rpartition(":")[2]
        places = [f"tcp://127.0.0.{number + 1}:{port}" for number in range(2 * pooled_req.MAX_IDLE)]
        echo = threading.Thread(target=lambda: [rep.send(rep.recv()) for _ in places])
        echo.start()
        for place in places:
            assert pooled_req.send_request(place, b"x", 5000) == b"x"
        echo.join(10)
    assert list(pooled_req._idle_connections()) == places[-pooled_req.MAX_IDLE :]


def test_invalid_requests_raise_zmq_value_and_type_errors(server: str) -> None:
    with pytest.raises(zmq.ZMQError, match="Invalid argument"):
        pooled_req.send_request("tcp://nowhere", b"x", 100)
    with pytest.raises(ValueError, match="expected 0 or more milliseconds"):
        pooled_req.send_request(server, b"x", -1)
    with pytest.raises(TypeError):
        pooled_req.send_json_request(server, object(), 100)


def test_pooled_request_works_over_inproc() -> None:
    with shared_context().socket(zmq.REP) as rep:
        rep.bind("inproc://pooled")
        echo = threading.Thread(target=lambda: [rep.send(rep.recv()) for _ in range(2)])
        echo.start()
        began = time.monotonic()
        assert [pooled_req.send_request("inproc://pooled", b"x", 5000) for _ in range(2)] == [b"x", b"x"]
        assert time.monotonic() - began < 2.0
        echo.join(10)
    pooled_req._close_all_idle()


def test_pooled_request_reaches_argosy_agent(fleet: LittleFleet) -> None:
    echo = fleet.start("Echo")
    for _ in range(2):
        assert pooled_req.send_json_request(echo.url, {"action": "add", "a": 1}, 5000) == {"result": 3}
    pooled_req._close_all_idle()


def test_pool_does_not_block_delivery_of_other_sockets_at_exit(server: str) -> None:
    code = """
import sys, zmq
from argosy.wire import context, pooled
lease = context()
push = lease.socket(zmq.PUSH)
push.connect(sys.argv[1])
pooled.ask(sys.argv[2], b"x", 5000)
push.send(b"x" * 1_000_000)
push.close()
lease.term()
"""
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.bind("tcp://127.0.0.1:*")
        place = pull.get(zmq.LAST_ENDPOINT).decode()
        subprocess.run([sys.executable, "-c", code, place, server], timeout=30, check=True)
        assert pull.poll(1000)
        assert len(pull.recv()) == 1_000_000


def test_req_socket_imports_neither_asyncio_nor_msgspec() -> None:
    code = (
        "import sys, argosy.api as a; a.req_socket; print('asyncio' in sys.modules, 'msgspec' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "False False\n"


def test_req_socket_has_api_of_zmq_socket(server: str) -> None:
    for number in range(3):
        with context() as lease, pooled_req.req_socket(lease) as asked:
            asked.setsockopt(zmq.LINGER, 0)
            asked.setsockopt(zmq.RCVTIMEO, 5000)
            asked.SNDTIMEO = 100
            assert asked.rcvtimeo == asked.RCVTIMEO == 5000
            asked.connect(server)
            asked.send_json({"n": number})
            assert asked.recv_json() == {"asked": {"n": number}, "accepted": 1}
    plain = pooled_req.req_socket(shared_context())
    plain.connect(server)
    plain.send_string("größe")
    assert plain.recv_string().startswith("GR")
    plain.close(linger=0)
    assert plain.closed
    with pytest.raises(zmq.ZMQError, match="non-socket"):
        plain.connect(server)


def test_req_socket_enforces_send_and_recv_order(server: str) -> None:
    asked = pooled_req.req_socket(shared_context())
    with pytest.raises(zmq.ZMQError) as error:
        asked.send(b"x")
    asked.connect(server)
    with pytest.raises(zmq.ZMQError) as before:
        asked.recv()
    asked.send(b"x")
    with pytest.raises(zmq.ZMQError) as twice:
        asked.send(b"y")
    assert [each.value.errno for each in (error, before, twice)] == [zmq.EFSM] * 3
    assert asked.recv() == b"X"
    asked.send(b"y")
    assert asked.recv() == b"Y"
    with pytest.raises(TypeError):
        asked.send_string(b"z")
    with pytest.raises(zmq.ZMQError, match="Invalid argument"):
        asked.setsockopt(zmq.IDENTITY, b"me")
    asked.close()


def test_reply_to_closed_req_socket_is_discarded(server: str) -> None:
    first = pooled_req.req_socket(shared_context())
    first.rcvtimeo = 50
    first.connect(server)
    first.send_json({"sleep": 0.3})
    with pytest.raises(zmq.Again):
        first.recv_json()
    first.close()
    second = pooled_req.req_socket(shared_context())
    second.rcvtimeo = 5000
    second.connect(server)
    second.send_json({"n": 2})
    assert second.recv_json()["asked"] == {"n": 2}
    second.close()


def test_req_socket_waits_without_limit_by_default(servers: list[Server]) -> None:
    with zmq.Context() as own, own.socket(zmq.REP) as place:
        place.bind("tcp://127.0.0.1:*")
        endpoint = place.get(zmq.LAST_ENDPOINT).decode()
    coming = threading.Timer(0.3, lambda: servers.append(Server(endpoint)))
    coming.start()
    asked = pooled_req.req_socket(shared_context())
    asked.connect(endpoint)
    asked.send(b"x")
    assert asked.recv() == b"X"
    asked.close()
    coming.join()


def test_req_socket_uses_socket_method_of_patched_context() -> None:
    class Patched:
        closed = False

        def socket(self, kind: int) -> tuple[str, int]:
            return "patched", kind

    assert pooled_req.req_socket(Patched()) == ("patched", zmq.REQ)
    lease = context()
    lease.term()
    with pytest.raises(zmq.ZMQError, match="not supported"):
        pooled_req.req_socket(lease)


def test_req_socket_sends_same_bytes_as_zmq_req() -> None:
    def frames_sent_by(make: Callable[[], Any]) -> list[list[bytes]]:
        with zmq.Context() as own, own.socket(zmq.ROUTER) as peer:
            peer.bind("tcp://127.0.0.1:*")
            received: list[list[bytes]] = []

            def answer() -> None:
                for _ in range(3):
                    name, *frames = peer.recv_multipart()
                    received.append(frames)
                    peer.send_multipart([name, b"", b'{"a": 1}', b"more"])

            answering = threading.Thread(target=answer)
            answering.start()
            for say, hear, what in (
                ("send_json", "recv_json", {"action": "health", "ü": [1.5, None]}),
                ("send_string", "recv_string", "plain ü"),
                ("send", "recv", b"\x00\xff"),
            ):
                asked = make()
                asked.connect(peer.get(zmq.LAST_ENDPOINT).decode())
                getattr(asked, say)(what)
                received.append([repr(getattr(asked, hear)()).encode()])
                asked.close()
            answering.join(10)
            pooled_req._close_all_idle()
            return received

    assert frames_sent_by(lambda: pooled_req.req_socket(shared_context())) == frames_sent_by(
        lambda: shared_context().socket(zmq.REQ)
    )
