"""What a dispatcher does with requests whose callers no longer wait."""

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


class Diary(Agent):
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


class Desk:
    """Keeps what is answered."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, object]] = []

    def send_reply(self, inquiry: MsgpackRequest, tag: int, value: object) -> int:
        if not inquiry.is_finished:
            self.answers.append((tag, value))
        inquiry.is_finished = tag != codec.ITEM
        return 0

    def send_json_reply(self, inquiry: JsonRequest | None, route: object, document: dict[str, Any]) -> None:
        raise AssertionError("nobody asked in JSON")


class Nowhere:
    """A way that nothing goes."""

    def send(self, body: frame.BytesLike, buffers: Sequence[frame.BytesLike] = (), /) -> bool | None:
        raise AssertionError("the desk takes the answers")


async def delivered(method: str, left_us: int, *, is_over: bool) -> tuple[Desk, Diary]:
    """Deliver a request whose deadline comes in so many microseconds, and let it end."""
    desk, diary = Desk(), Diary()
    status = AgentStatus()
    status.open()
    dispatcher = RequestDispatcher(asyncio.get_running_loop(), dict, status)
    dispatcher.register(find_handlers(diary))
    caller = ConnectedClient(b"1", Nowhere(), "one", 0)
    now_us = frame.now_us()
    inquiry = MsgpackRequest(desk, caller, 1, method, now_us + left_us, NOTHING, (), "", 0, False, now_us)
    dispatcher.dispatch(inquiry)
    inquiry.is_finished = is_over
    await dispatcher.drain(2.0, lambda: len(dispatcher._tasks) + dispatcher.in_threads)
    return desk, diary


@pytest.mark.parametrize("method", ["task", "stream", "thread", "inline"])
def test_a_request_is_not_begun_after_its_deadline(method: str) -> None:
    desk, diary = asyncio.run(delivered(method, -1, is_over=False))
    assert diary.ran == []
    assert [(tag, value[0]) for tag, value in desk.answers] == [(codec.REFUSED, codec.EXPIRED)]  # type: ignore[index]


@pytest.mark.parametrize("method", ["task", "stream"])
def test_a_request_that_is_over_is_not_begun(method: str) -> None:
    desk, diary = asyncio.run(delivered(method, 10_000_000, is_over=True))
    assert (diary.ran, desk.answers) == ([], [])


@pytest.mark.parametrize("method", ["task", "stream", "thread"])
def test_a_request_in_time_runs(method: str) -> None:
    desk, diary = asyncio.run(delivered(method, 10_000_000, is_over=False))
    assert diary.ran == [method]
    assert [tag for tag, _ in desk.answers] == [codec.RESULT]
