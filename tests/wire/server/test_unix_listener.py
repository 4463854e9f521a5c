"""Unix listener: its path and mode, stale and foreign files, disconnected clients, full descriptor table."""

from __future__ import annotations

import os
import resource
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from argosy.fault import RefusedError
from argosy.wire.client.channel import Channel
from argosy.wire.protocol import codec, frame
from argosy.wire.server.incoming_request import IncomingRequest
from argosy.wire.server.rpc_server import RpcServer
from argosy.wire.server.unix_listener import connect_unix, unix_listener_path
from argosy.wire.transport.reactor import BlockingReactor
from argosy.wire.transport.unix_connection import UnixConnection


class CollectedReplies:
    """Where a call ends."""

    def __init__(self) -> None:
        self.got: list[object] = []

    def done(self) -> bool:
        return False

    def set_result(self, answer: object, /) -> None:
        self.got.append(answer)

    def set_exception(self, error: BaseException, /) -> None:
        self.got.append(error)


@contextmanager
def serve_at(
    endpoint: str, reactor: BlockingReactor, delivered: list[IncomingRequest]
) -> Iterator[RpcServer]:
    running_server = RpcServer("Echo", reactor, delivered.append)
    try:
        running_server.bind([endpoint])
        running_server.open()
        yield running_server
    finally:
        running_server.close()


def test_unix_listener_exists_only_for_short_ipc_endpoints(tmp_path: Path) -> None:
    assert unix_listener_path("ipc:///run/x") == "/run/x.u"
    assert unix_listener_path("tcp://127.0.0.1:5000") is None
    assert unix_listener_path("ipc:///" + "x" * 104) is not None
    assert unix_listener_path("ipc:///" + "x" * 105) is None
    assert connect_unix(f"ipc://{tmp_path}/nobody", BlockingReactor()) is None


def test_unix_listener_socket_is_private_and_removed_on_close(tmp_path: Path) -> None:
    path = tmp_path / "e.u"
    with serve_at(f"ipc://{tmp_path}/e", BlockingReactor(), []):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


def test_unix_listener_replaces_stale_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{tmp_path}/e.u")
    endpoint, reactor = f"ipc://{tmp_path}/e", BlockingReactor()
    with serve_at(endpoint, reactor, []):
        link = connect_unix(endpoint, reactor)
        assert link is not None
        link.close()


def test_unix_listener_never_removes_regular_file(tmp_path: Path) -> None:
    (tmp_path / "e.u").write_text("somebody's")
    with (
        pytest.raises(RefusedError, match=r"`Echo` cannot bind `.*/e\.u`: address already in use"),
        serve_at(f"ipc://{tmp_path}/e", BlockingReactor(), []),
    ):
        pass
    assert (tmp_path / "e.u").read_text() == "somebody's"


def test_closing_listener_keeps_socket_of_successor(tmp_path: Path) -> None:
    endpoint, reactor = f"ipc://{tmp_path}/e", BlockingReactor()
    with serve_at(endpoint, reactor, []) as old:
        with serve_at(endpoint, reactor, []):
            old.close()
            assert os.path.exists(f"{tmp_path}/e.u")
        assert not os.path.exists(f"{tmp_path}/e.u")


def test_disconnect_over_unix_socket_cancels_requests_immediately(tmp_path: Path) -> None:
    """Through a ROUTER that shows at the next send alone."""
    endpoint, reactor = f"ipc://{tmp_path}/e", BlockingReactor()
    delivered: list[IncomingRequest] = []
    aborted: list[str] = []
    with serve_at(endpoint, reactor, delivered) as running_server:
        channel = Channel("Echo", lambda: endpoint, reactor)
        channel.submit("work", {}, 10.0, CollectedReplies(), "")
        reactor.run_until(lambda: bool(delivered))
        assert isinstance(channel._dialer.connection, UnixConnection)
        delivered[0].on_cancel = lambda: aborted.append(delivered[0].method)
        channel.close()
        reactor.run_until(lambda: running_server.statistics()["clients"] == 0)
        assert aborted == ["work"]
        assert running_server.statistics()["in_flight"] == 0


def test_call_to_exited_server_is_sent_to_its_successor(tmp_path: Path) -> None:
    """It was not sent, so it is not uncertain: it needs no declaration to be tried again."""
    endpoint, reactor = f"ipc://{tmp_path}/e", BlockingReactor()
    delivered: list[IncomingRequest] = []
    answers = CollectedReplies()
    channel = Channel("Echo", lambda: endpoint, reactor)
    with serve_at(endpoint, reactor, delivered):
        channel.submit("first", {}, 10.0, answers, "")
        reactor.run_until(lambda: bool(delivered))
        delivered.pop().reply(1)
        reactor.run_until(lambda: bool(answers.got))
    with serve_at(endpoint, reactor, delivered):
        channel.submit("second", {}, 10.0, answers, "")
        reactor.run_until(lambda: bool(delivered))
        delivered.pop().reply(2)
        reactor.run_until(lambda: len(answers.got) == 2)
    assert not any(isinstance(each, BaseException) for each in answers.got)
    assert channel.statistics()["connections"] == 2
    channel.close()


def test_clients_wait_while_server_has_no_free_descriptors(tmp_path: Path) -> None:
    endpoint, reactor = f"ipc://{tmp_path}/e", BlockingReactor()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with serve_at(endpoint, reactor, []):
        link = connect_unix(endpoint, reactor)
        assert link is not None
        link.send(codec.encode_single(frame.HELLO, 1, codec.Hello(1, "test")))
        readable: list[int] = []
        reactor.add_reader(link.fd, lambda: readable.append(link.fd))
        highest = max(map(int, os.listdir("/proc/self/fd")))
        spare = [os.dup(0) for _ in range(highest)]
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(spare) + 1, hard))
            fired: list[int] = []
            reactor.call_later(0.05, lambda: fired.append(1))
            reactor.run_until(lambda: bool(fired))
            assert not readable
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for fd in spare:
                os.close(fd)
        reactor.run_until(lambda: bool(readable))
        link.close()
