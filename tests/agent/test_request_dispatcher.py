"""Request dispatcher: requests whose deadline passed or whose client no longer waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest

from argosy.agent import Agent, request
from argosy.agent.handlers import find_handlers
from argosy.agent.request_dispatcher import RequestDispatcher
from argosy.wire.protocol import codec, frame
from argosy.wire.server.agent_status import AgentStatus
from argosy.wire.server.incoming_request import ConnectedClient, JsonRequest, MsgpackRequest

NOTHING = msgspec.Raw(msgspec.msgpack.encode({}))


class RecordingAgent(Agent):
    def __init__(self) -> None:
        self.ran: list[str] = []

    @request
    async def task(self) -> None:
        self.ran.append("task")

    @request
    async def stream(self) -> AsyncIterator[int]:
        self.ran.append("stream")
        yield 1

    @request
    def thread(self) -> None:
        self.ran.append("thread")

    @request(short=True)
    def inline(self) -> None:
        self.ran.append("inline")


class RecordingReplySender:
    """Keeps what is answered."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, object]] = []

    def send_reply(self, incoming: MsgpackRequest, tag: int, value: object) -> int:
        if not incoming.is_finished:
            self.answers.append((tag, value))
        incoming.is_finished = tag != codec.ITEM
        return 0

    def send_json_reply(self, incoming: JsonRequest | None, route: object, document: dict[str, Any]) -> None:
        raise AssertionError("nobody asked in JSON")


class ClosedConnection:
    """A way that nothing goes."""

    def send(self, body: frame.BytesLike, buffers: Sequence[frame.BytesLike] = (), /) -> bool | None:
        raise AssertionError("the reply_sender takes the answers")


async def delivered(
    method: str, left_us: int, *, is_over: bool
) -> tuple[RecordingReplySender, RecordingAgent]:
    """Deliver a request whose deadline comes in so many microseconds, and let it end."""
    reply_sender, recording_agent = RecordingReplySender(), RecordingAgent()
    status = AgentStatus()
    status.open()
    dispatcher = RequestDispatcher(asyncio.get_running_loop(), dict, status)
    dispatcher.register(find_handlers(recording_agent))
    connected_client = ConnectedClient(b"1", ClosedConnection(), "one", 0)
    now_us = frame.now_us()
    incoming = MsgpackRequest(
        reply_sender, connected_client, 1, method, now_us + left_us, NOTHING, (), "", 0, False, now_us
    )
    dispatcher.dispatch(incoming)
    incoming.is_finished = is_over
    await dispatcher.drain(2.0, lambda: len(dispatcher._tasks) + dispatcher.in_threads)
    return reply_sender, recording_agent


@pytest.mark.parametrize("method", ["task", "stream", "thread", "inline"])
def test_dispatcher_does_not_start_request_after_deadline(method: str) -> None:
    reply_sender, recording_agent = asyncio.run(delivered(method, -1, is_over=False))
    assert recording_agent.ran == []
    assert [(tag, value[0]) for tag, value in reply_sender.answers] == [(codec.REFUSED, codec.EXPIRED)]  # type: ignore[index]


@pytest.mark.parametrize("method", ["task", "stream"])
def test_dispatcher_does_not_start_finished_request(method: str) -> None:
    reply_sender, recording_agent = asyncio.run(delivered(method, 10_000_000, is_over=True))
    assert (recording_agent.ran, reply_sender.answers) == ([], [])


@pytest.mark.parametrize("method", ["task", "stream", "thread"])
def test_dispatcher_runs_request_before_deadline(method: str) -> None:
    reply_sender, recording_agent = asyncio.run(delivered(method, 10_000_000, is_over=False))
    assert recording_agent.ran == [method]
    assert [tag for tag, _ in reply_sender.answers] == [codec.RESULT]
