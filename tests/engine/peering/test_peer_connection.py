"""Peer connection: updates of another machine arrive in order, and a lost peer is reconnected."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from argosy.engine.peering.peer_connection import PeerConnection
from argosy.engine.peering.peer_protocol import (
    AgentsSnapshot,
    MemoryReport,
    PeerFrame,
    PeerGoodbye,
    PeerHeartbeat,
    PeeringRejected,
    StatusUpdate,
    SubscribeAgents,
    decode_client_frame,
    encode_frame,
)
from argosy.engine.plan.peering_plan import PeeringPlan
from argosy.engine.protocol.messages import AgentStatus
from argosy.engine.protocol.state_machine import State
from argosy.wire.security.curve_keys import PUBLIC_SUFFIX, SECRET_SUFFIX, read_key
from argosy.wire.security.key_management import make_keys

WITHIN_S = 20.0


def status(state: State) -> AgentStatus:
    return AgentStatus(
        state=state,
        health=None,
        pid=None,
        machine="two",
        group=None,
        port=None,
        restarts=0,
        since_s=0.0,
        waiting_on=[],
        reason="",
        rss_bytes=None,
        pss_bytes=None,
        sampled_s=None,
    )


class FakePeerServer:
    """The peer server of machine `two`, played by the test."""

    def __init__(self, keys: Path) -> None:
        make_keys(str(keys), ["one", "two"])
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.curve_server = 1
        self.socket.curve_secretkey = read_key(str(keys), "two", SECRET_SUFFIX)
        self.socket.curve_publickey = read_key(str(keys), "two", PUBLIC_SUFFIX)
        port = self.socket.bind_to_random_port("tcp://127.0.0.1")
        self.client = b""
        self.plan = PeeringPlan(
            fleet="duo",
            environment="development",
            machine="one",
            listen_endpoint="",
            keys_dir=str(keys),
            peers={"two": f"tcp://127.0.0.1:{port}"},
            agents={},
        )

    async def subscribed(self) -> SubscribeAgents:
        """Wait until somebody begins to listen; beats are passed over."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                if not self.socket.poll(0):
                    await asyncio.sleep(0.005)
                    continue
                self.client, data = self.socket.recv_multipart()
                frame = decode_client_frame(data)
                if isinstance(frame, SubscribeAgents):
                    return frame

    def send(self, *frames: PeerFrame) -> None:
        for frame in frames:
            self.socket.send_multipart([self.client, encode_frame(frame)])


@pytest.fixture
def peer_server(tmp_path: Path) -> Iterator[FakePeerServer]:
    made = FakePeerServer(tmp_path / "keys")
    yield made
    made.socket.close()


async def until(true: object) -> None:
    assert callable(true)
    async with asyncio.timeout(WITHIN_S):
        while not true():
            await asyncio.sleep(0.005)


def test_peer_connection_delivers_updates_after_snapshot_in_order(peer_server: FakePeerServer) -> None:
    async def main() -> None:
        received: list[AgentsSnapshot | StatusUpdate | MemoryReport] = []
        connection_states: list[bool] = []
        connection = PeerConnection(
            peer_server.plan,
            "two",
            asyncio.get_running_loop(),
            lambda _, frame: received.append(frame),
            lambda connection: connection_states.append(connection.is_connected),
        )
        try:
            assert (await peer_server.subscribed()).fleet == "duo"
            sent: list[PeerFrame] = [
                AgentsSnapshot(epoch=1, sequence=7, agents={"B": status(State.STARTING)})
            ]
            sent += [
                StatusUpdate(epoch=1, sequence=n, agent="B", status=status(State.READY)) for n in (8, 9, 10)
            ]
            peer_server.send(*sent)
            time.sleep(0.2)  # the loop stands still meanwhile: all of it is there when it looks
            await until(lambda: len(received) == len(sent))
            assert received == sent
            assert connection_states == [True]

            # A hole in the numbers: it asks for all again.
            peer_server.send(StatusUpdate(epoch=1, sequence=12, agent="B", status=status(State.FAILING)))
            await peer_server.subscribed()
            assert received == sent
            peer_server.send(AgentsSnapshot(epoch=1, sequence=12, agents={}))
            await until(lambda: len(received) == len(sent) + 1)
            assert connection_states == [True]
        finally:
            connection.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (PeerGoodbye(running_agents=3), "its supervisor was stopped; 3 agents keep running"),
        (PeeringRejected(reason="another fleet"), "another fleet"),
        (PeerHeartbeat(), "silent for"),
    ],
)
def test_peer_connection_disconnects_and_reconnects_when_peer_leaves_or_is_silent(
    peer_server: FakePeerServer, last: PeerFrame, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("argosy.engine.peering.peer_connection.HEARTBEAT_TIMEOUT_S", 0.3)
    monkeypatch.setattr("argosy.engine.peering.peer_connection._RECONNECT_DELAY_S", 0.01)

    async def main() -> None:
        connection = PeerConnection(
            peer_server.plan, "two", asyncio.get_running_loop(), lambda *_: None, lambda _: None
        )
        try:
            await peer_server.subscribed()
            peer_server.send(AgentsSnapshot(epoch=1, sequence=0, agents={}))
            await until(lambda: connection.is_connected)
            peer_server.send(last)
            await until(lambda: not connection.is_connected)
            assert connection.reason.startswith(reason)
            await peer_server.subscribed()
            peer_server.send(AgentsSnapshot(epoch=2, sequence=0, agents={}))
            await until(lambda: connection.is_connected)
            assert (connection.epoch, connection.reason) == (2, "")
        finally:
            connection.close()

    asyncio.run(main())
