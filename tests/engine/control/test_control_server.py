"""Control socket: server and client, in one loop and in a thread beside it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from argosy.engine.control.control_client import (
    ControlClient,
    SupervisorLostError,
    SupervisorStoppedError,
    connect,
)
from argosy.engine.control.control_server import ControlServer, ControlSession
from argosy.engine.protocol.messages import (
    PROTOCOL,
    AgentStateChanged,
    ClientHello,
    ControlMessage,
    ControlRequest,
    GetStatus,
    Refused,
    ServerHello,
    ShuttingDown,
    Subscribe,
    decode_reply,
    encode_line,
)
from argosy.engine.protocol.state_machine import State
from argosy.engine.state.state_dir import StateDir
from argosy.fault import Fault, InputError, RefusedError

WELCOME = ServerHello(protocol=PROTOCOL, pid=7, started_s=1.0)


class FakeSupervisor:
    """A supervisor that answers as it is told; `gone` counts clients that went."""

    def __init__(self, folder: StateDir, answer: Callable[[ControlSession, ControlRequest], None]) -> None:
        self.gone = 0
        self._answer = answer
        self.server = ControlServer(folder.control_socket, self._handle, self._count)

    def _count(self) -> None:
        self.gone += 1

    async def _handle(self, session: ControlSession, request: ControlRequest) -> None:
        if isinstance(request, ClientHello):
            session.send(WELCOME)
        else:
            self._answer(session, request)


@pytest.fixture
def folder(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path / "state", tmp_path)
    return made


def serve(
    folder: StateDir,
    ask: Callable[[], object],
    answer: Callable[[ControlSession, ControlRequest], None] = lambda *_: None,
) -> FakeSupervisor:
    """Run `ask` in a thread while a server answers."""

    async def run() -> FakeSupervisor:
        fake_supervisor = FakeSupervisor(folder, answer)
        await fake_supervisor.server.bind()
        fake_supervisor.server.publish()
        try:
            await asyncio.to_thread(ask)
        finally:
            await fake_supervisor.server.close()
        return fake_supervisor

    return asyncio.run(run())


def hello(folder: StateDir) -> ControlClient:
    client = connect(folder, "test")
    assert client is not None
    assert client.welcome == WELCOME
    return client


def test_client_connects_to_none_without_server_or_with_stale_socket(folder: StateDir) -> None:
    assert connect(folder, "test") is None
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(folder.control_socket))  # of a supervisor that was killed
    assert connect(folder, "test") is None


def test_client_connects_only_after_server_is_published(folder: StateDir) -> None:
    async def run() -> None:
        server = FakeSupervisor(folder, lambda *_: None).server
        await server.bind()
        assert await asyncio.to_thread(connect, folder, "test") is None
        server.publish()
        assert (folder.control_socket.stat().st_mode & 0o777) == 0o600
        client = await asyncio.to_thread(hello, folder)
        client.__exit__()
        await server.close()
        assert not folder.control_socket.exists()

    asyncio.run(run())


def test_client_raises_input_error_for_refusal_with_exit_code_2(folder: StateDir) -> None:
    fault = Fault("A", "unknown-agent", "no such agent")

    def ask() -> None:
        with hello(folder) as client, pytest.raises(InputError) as caught:
            client.request(GetStatus())
        assert list(caught.value.faults) == [fault]

    serve(folder, ask, lambda session, _: session.send(Refused(faults=[fault], exit_code=2)))


def test_client_distinguishes_stopped_from_lost_supervisor(folder: StateDir) -> None:
    def ask() -> None:
        with hello(folder) as client:
            client.send(GetStatus())
            with pytest.raises(SupervisorStoppedError) as left:
                list(client.stream())
            assert left.value.running == 3
        with hello(folder) as client:
            client.send(Subscribe())
            with pytest.raises(SupervisorLostError) as lost:
                list(client.stream())
            assert not isinstance(lost.value, SupervisorStoppedError)

    def answer(session: ControlSession, request: ControlRequest) -> None:
        if isinstance(request, GetStatus):
            session.send(ShuttingDown(running=3))
        session._writer.close()

    assert serve(folder, ask, answer).gone == 2


def test_server_refuses_garbage_and_keeps_connection(folder: StateDir) -> None:
    def ask() -> None:
        with socket.socket(socket.AF_UNIX) as channel, channel.makefile("rb") as lines:
            channel.connect(str(folder.control_socket))
            for line in (b"nonsense\n", b"\xff\n", b'{"type":"welcome"}\n', b"\n"):
                channel.sendall(line)
                answer = decode_reply(lines.readline())
                assert isinstance(answer, Refused)
                assert answer.faults[0].code == "protocol"
            channel.sendall(encode_line(ClientHello(protocol=PROTOCOL + 1, client="newer")))
            answer = decode_reply(lines.readline())
            assert isinstance(answer, Refused)
            assert f"protocol {PROTOCOL}" in answer.faults[0].message
            channel.sendall(encode_line(ClientHello(protocol=PROTOCOL, client="test")))
            assert decode_reply(lines.readline()) == WELCOME

    assert serve(folder, ask).gone == 1


def test_client_receives_all_sent_messages_when_server_closes(folder: StateDir) -> None:
    big = [AgentStateChanged(agent="A" * 1000, state=State.READY, at_s=1.0)] * 2000

    def answer(session: ControlSession, _: ControlRequest) -> None:
        for message in big:
            session.send(message)

    async def run() -> int:
        server = FakeSupervisor(folder, answer).server
        await server.bind()
        server.publish()
        client = await asyncio.to_thread(hello, folder)
        client.send(GetStatus())
        first = await asyncio.to_thread(client.receive, 20)
        assert first == big[0]
        closing = asyncio.ensure_future(server.close())
        count = await asyncio.to_thread(_count_to_the_end, client)
        await closing
        client.__exit__()
        return count

    assert asyncio.run(run()) == len(big) - 1


def _count_to_the_end(client: ControlClient) -> int:
    count = 0
    try:
        for _ in client.stream():
            count += 1
    except SupervisorLostError:
        return count
    raise AssertionError("a stream has no other end")


def test_server_disconnects_client_that_stops_reading(folder: StateDir) -> None:
    message: ControlMessage = AgentStateChanged(agent="A" * 1_000_000, state=State.READY, at_s=1.0)

    async def run() -> None:
        fake_supervisor = FakeSupervisor(
            folder, lambda session, _: [session.send(message) for _ in range(20)] and None
        )
        await fake_supervisor.server.bind()
        fake_supervisor.server.publish()
        client = await asyncio.to_thread(hello, folder)
        client.send(GetStatus())
        async with asyncio.timeout(20):
            while not fake_supervisor.gone:
                await asyncio.sleep(0)
        assert fake_supervisor.server.sessions == set()
        await fake_supervisor.server.close()
        client.__exit__()

    asyncio.run(run())


def test_client_connects_to_none_if_server_closes_at_hello(folder: StateDir) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder.control_socket))
        listener.listen()

        async def run() -> None:
            asking = asyncio.ensure_future(asyncio.to_thread(connect, folder, "test"))
            channel, _ = await asyncio.to_thread(listener.accept)
            channel.close()
            assert await asking is None

        asyncio.run(run())


def test_session_knows_pid_of_client(folder: StateDir) -> None:
    seen: list[int] = []

    def ask() -> None:
        with hello(folder) as client, pytest.raises(RefusedError):
            client.request(GetStatus())

    def answer(session: ControlSession, _: ControlRequest) -> None:
        seen.append(session.pid)
        session.send(Refused(faults=[Fault("", "x", "x")]))

    serve(folder, ask, answer)
    assert seen == [os.getpid()]
