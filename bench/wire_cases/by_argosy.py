"""argosy with all features on (ids, deadlines, types, metrics, a trace), by its public API."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable
from typing import Final

from argosy.agent import trace
from argosy.wire import Peer, connect
from argosy.wire.address_book import AddressResolver
from argosy.wire.client.sync_peer import named_channel
from argosy.wire.transport.reactor import LoopReactor
from wire_cases.echo_agent import EchoRequest
from wire_cases.load_loops import (
    IN_FLIGHT,
    PAYLOAD,
    PAYLOAD_TEXT,
    LoadFunction,
    Tally,
    check_answer,
    new_runner,
    request_for,
    request_in_tasks,
    request_in_threads,
)

AGENT: Final = "BENCH_AGENT"  # the variable with the name of the agent to ask
_MESSAGE: Final = EchoRequest(7, PAYLOAD_TEXT)
_AS_DICT: Final = {"number": 7, "text": PAYLOAD_TEXT}


def load_functions(where: str) -> dict[str, LoadFunction]:
    """Return the loads of one blocking caller, of threads, and of tasks on one loop."""
    agent = os.environ.get(AGENT, "Echo")
    runner = new_runner()
    peer = connect(agent)

    def ask() -> None:
        check_answer(peer.echo(message=_MESSAGE), _AS_DICT)

    def make() -> Callable[[], None]:
        trace()
        return ask

    def in_tasks(
        count: int, ask_of: Callable[[Peer], Awaitable[None]], metrics: bool | None = None
    ) -> LoadFunction:
        async def work(seconds: float) -> Tally:
            trace()
            each = _peer_on_loop(agent)
            if metrics is not None:
                await each.call("keep_metrics", kept=metrics)
            return await request_in_tasks(count, seconds, lambda: ask_of(each))

        return lambda seconds: runner.run(work(seconds))

    trace()
    return {
        "one_sync": lambda seconds: request_for(seconds, ask),
        "threads": lambda seconds: request_in_threads(IN_FLIGHT, seconds, make),
        "one_async": in_tasks(1, _echo),
        "typed": in_tasks(IN_FLIGHT, _echo),
        "typed_with_metrics": in_tasks(IN_FLIGHT, _echo, metrics=True),
        "typed_without_metrics": in_tasks(IN_FLIGHT, _echo, metrics=False),
        "tasks": in_tasks(IN_FLIGHT, _echo_in_task),
        "frames": in_tasks(IN_FLIGHT, _frame),
        "frames_128": in_tasks(4 * IN_FLIGHT, _frame),
    }


async def _echo(peer: Peer) -> None:
    check_answer(await peer.call("echo", returns=EchoRequest, message=_MESSAGE), _MESSAGE)


async def _echo_in_task(peer: Peer) -> None:
    check_answer(await peer.call("echo_in_task", returns=EchoRequest, message=_MESSAGE), _MESSAGE)


async def _frame(peer: Peer) -> None:
    check_answer(await peer.call("frame", returns=bytes, data=PAYLOAD), PAYLOAD)


@functools.cache
def _peer_on_loop(agent: str) -> Peer:
    """Return the peer for the caller's one loop, as an agent's `peer` does."""
    directory = AddressResolver(os.environ["ARGOSY_BOOK"])
    return Peer(named_channel(agent, directory, LoopReactor(asyncio.get_running_loop()), "bench"))
