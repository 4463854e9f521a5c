"""A doorway: who finds it, who must not, and what becomes of those who came in."""

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


class Answers:
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
def callee_at(
    endpoint: str, reactor: BlockingReactor, delivered: list[IncomingRequest]
) -> Iterator[RpcServer]:
    callee = RpcServer("Echo", reactor, delivered.append)
    try:
        callee.bind([endpoint])
        callee.open()
        yield callee
    finally:
        callee.close()


def test_only_ipc_endpoints_with_room_for_its_name_have_one(tmp_path: Path) -> None:
    assert unix_listener_path("ipc:///run/x") == "/run/x.u"
    assert unix_listener_path("tcp://127.0.0.1:5000") is None
    assert unix_listener_path("ipc:///" + "x" * 104) is not None
    assert unix_listener_path("ipc:///" + "x" * 105) is None
    assert connect_unix(f"ipc://{tmp_path}/nobody", BlockingReactor()) is None


def test_it_is_its_owners_alone_and_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "e.u"
    with callee_at(f"ipc://{tmp_path}/e", BlockingReactor(), []):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


def test_what_a_killed_owner_left_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{tmp_path}/e.u")
    endpoint, reactor = f"ipc://{tmp_path}/e", BlockingReactor()
    with callee_at(endpoint, reactor, []):
        link = connect_unix(endpoint, reactor)
        assert link is not None
        link.close()


def test_what_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "e.u").write_text("somebody's")
    with (
        pytest.raises(RefusedError, match=r"`Echo` cannot bind `.*/e\.u`: address already in use"),
        callee_at(f"ipc://{tmp_path}/e", BlockingReactor(), []),
    ):
        pass
    assert (tmp_path / "e.u").read_text() == "somebody's"


def test_the_path_of_a_successor_is_left_alone(tmp_path: Path) -> None:
    endpoint, reactor = f"ipc://{tmp_path}/e", BlockingReactor()
    with callee_at(endpoint, reactor, []) as old:
        with callee_at(endpoint, reactor, []):
            old.close()
            assert os.path.exists(f"{tmp_path}/e.u")
        assert not os.path.exists(f"{tmp_path}/e.u")


def test_a_caller_that_goes_is_known_at_once_and_its_work_dropped(tmp_path: Path) -> None:
    """Through a ROUTER that shows at the next send alone."""
    endpoint, reactor = f"ipc://{tmp_path}/e", BlockingReactor()
    delivered: list[IncomingRequest] = []
    aborted: list[str] = []
    with callee_at(endpoint, reactor, delivered) as callee:
        channel = Channel("Echo", lambda: endpoint, reactor)
        channel.submit("work", {}, 10.0, Answers(), "")
        reactor.run_until(lambda: bool(delivered))
        assert isinstance(channel._dialer.connection, UnixConnection)
        delivered[0].on_cancel = lambda: aborted.append(delivered[0].method)
        channel.close()
        reactor.run_until(lambda: callee.statistics()["clients"] == 0)
        assert aborted == ["work"]
        assert callee.statistics()["in_flight"] == 0


def test_a_call_that_met_a_gone_peer_waits_for_the_next(tmp_path: Path) -> None:
    """It was not sent, so it is not uncertain: it needs no declaration to be tried again."""
    endpoint, reactor = f"ipc://{tmp_path}/e", BlockingReactor()
    delivered: list[IncomingRequest] = []
    answers = Answers()
    channel = Channel("Echo", lambda: endpoint, reactor)
    with callee_at(endpoint, reactor, delivered):
        channel.submit("first", {}, 10.0, answers, "")
        reactor.run_until(lambda: bool(delivered))
        delivered.pop().reply(1)
        reactor.run_until(lambda: bool(answers.got))
    with callee_at(endpoint, reactor, delivered):
        channel.submit("second", {}, 10.0, answers, "")
        reactor.run_until(lambda: bool(delivered))
        delivered.pop().reply(2)
        reactor.run_until(lambda: len(answers.got) == 2)
    assert not any(isinstance(each, BaseException) for each in answers.got)
    assert channel.statistics()["connections"] == 2
    channel.close()


def test_callers_wait_while_no_descriptor_is_free(tmp_path: Path) -> None:
    endpoint, reactor = f"ipc://{tmp_path}/e", BlockingReactor()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with callee_at(endpoint, reactor, []):
        link = connect_unix(endpoint, reactor)
        assert link is not None
        link.send(codec.encode_single(frame.HELLO, 1, codec.Hello(1, "test")))
        told: list[int] = []
        reactor.add_reader(link.fd, lambda: told.append(link.fd))
        highest = max(map(int, os.listdir("/proc/self/fd")))
        spare = [os.dup(0) for _ in range(highest)]
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(spare) + 1, hard))
            rung: list[int] = []
            reactor.call_later(0.05, lambda: rung.append(1))
            reactor.run_until(lambda: bool(rung))
            assert not told
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for fd in spare:
                os.close(fd)
        reactor.run_until(lambda: bool(told))
        link.close()
