"""What a supervisor hears of another machine: in the order in which it was said, and when it is blind."""

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


class Door:
    """The door of machine `two`, played by the test."""

    def __init__(self, keys: Path) -> None:
        make_keys(str(keys), ["one", "two"])
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.curve_server = 1
        self.socket.curve_secretkey = read_key(str(keys), "two", SECRET_SUFFIX)
        self.socket.curve_publickey = read_key(str(keys), "two", PUBLIC_SUFFIX)
        port = self.socket.bind_to_random_port("tcp://127.0.0.1")
        self.caller = b""
        self.plan = PeeringPlan(
            fleet="duo",
            environment="development",
            machine="one",
            listen_endpoint="",
            keys_dir=str(keys),
            peers={"two": f"tcp://127.0.0.1:{port}"},
            agents={},
        )

    async def watched(self) -> SubscribeAgents:
        """Wait until somebody begins to listen; beats are passed over."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                if not self.socket.poll(0):
                    await asyncio.sleep(0.005)
                    continue
                self.caller, data = self.socket.recv_multipart()
                frame = decode_client_frame(data)
                if isinstance(frame, SubscribeAgents):
                    return frame

    def say(self, *frames: PeerFrame) -> None:
        for frame in frames:
            self.socket.send_multipart([self.caller, encode_frame(frame)])


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    made = Door(tmp_path / "keys")
    yield made
    made.socket.close()


async def until(true: object) -> None:
    assert callable(true)
    async with asyncio.timeout(WITHIN_S):
        while not true():
            await asyncio.sleep(0.005)


def test_what_follows_a_snapshot_at_once_does_not_overtake_it(door: Door) -> None:
    async def main() -> None:
        heard: list[AgentsSnapshot | StatusUpdate | MemoryReport] = []
        sights: list[bool] = []
        dial = PeerConnection(
            door.plan,
            "two",
            asyncio.get_running_loop(),
            lambda _, frame: heard.append(frame),
            lambda dial: sights.append(dial.is_connected),
        )
        try:
            assert (await door.watched()).fleet == "duo"
            said: list[PeerFrame] = [
                AgentsSnapshot(epoch=1, sequence=7, agents={"B": status(State.STARTING)})
            ]
            said += [
                StatusUpdate(epoch=1, sequence=n, agent="B", status=status(State.READY)) for n in (8, 9, 10)
            ]
            door.say(*said)
            time.sleep(0.2)  # the loop stands still meanwhile: all of it is there when it looks
            await until(lambda: len(heard) == len(said))
            assert heard == said
            assert sights == [True]

            # A hole in the numbers: it asks for all again.
            door.say(StatusUpdate(epoch=1, sequence=12, agent="B", status=status(State.FAILING)))
            await door.watched()
            assert heard == said
            door.say(AgentsSnapshot(epoch=1, sequence=12, agents={}))
            await until(lambda: len(heard) == len(said) + 1)
            assert sights == [True]
        finally:
            dial.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (PeerGoodbye(running_agents=3), "its supervisor was stopped; 3 agents keep running"),
        (PeeringRejected(reason="another fleet"), "another fleet"),
        (PeerHeartbeat(), "silent for"),
    ],
)
def test_a_machine_that_leaves_or_falls_silent_is_blind_and_dialled_again(
    door: Door, last: PeerFrame, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("argosy.engine.peering.peer_connection.HEARTBEAT_TIMEOUT_S", 0.3)
    monkeypatch.setattr("argosy.engine.peering.peer_connection._RECONNECT_DELAY_S", 0.01)

    async def main() -> None:
        dial = PeerConnection(door.plan, "two", asyncio.get_running_loop(), lambda *_: None, lambda _: None)
        try:
            await door.watched()
            door.say(AgentsSnapshot(epoch=1, sequence=0, agents={}))
            await until(lambda: dial.is_connected)
            door.say(last)
            await until(lambda: not dial.is_connected)
            assert dial.reason.startswith(reason)
            await door.watched()
            door.say(AgentsSnapshot(epoch=2, sequence=0, agents={}))
            await until(lambda: dial.is_connected)
            assert (dial.epoch, dial.reason) == (2, "")
        finally:
            dial.close()

    asyncio.run(main())
