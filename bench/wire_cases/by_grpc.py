"""gRPC on a unix socket, both ends on asyncio; its messages are bytes, so no codec is measured."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from wire_cases.array_payload import BYTES, matrix, matrix_of
from wire_cases.load_loops import (
    IN_FLIGHT,
    PAYLOAD,
    LoadFunction,
    Tally,
    check_answer,
    print_ready,
    request_in_tasks,
)

_MATRIX = matrix()
_METHOD = "/bench.Echo/Say"
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def serve(where: str) -> None:
    """Answer on an asyncio loop."""
    asyncio.run(_serve(where))


async def _serve(where: str) -> None:
    server = grpc.aio.server(options=_OPTIONS)
    say = grpc.unary_unary_rpc_method_handler(_say)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Say": say}),))
    server.add_insecure_port(f"unix:{where}/grpc")
    await server.start()
    print_ready()
    await server.wait_for_termination()


async def _say(data: bytes, _: object) -> bytes:
    return data


def load_functions(where: str) -> dict[str, LoadFunction]:
    """Return `tasks`: 32 of them on one channel; `arrays`: one caller."""
    runner = asyncio.Runner()

    def in_tasks(count: int, ask: Callable[[Any], Awaitable[None]]) -> LoadFunction:
        async def work(seconds: float) -> Tally:
            say = _method(where)
            return await request_in_tasks(count, seconds, lambda: ask(say))

        return lambda seconds: runner.run(work(seconds))

    return {"tasks": in_tasks(IN_FLIGHT, _ask), "arrays": in_tasks(1, _ask_array)}


@functools.cache
def _method(where: str) -> Any:
    return grpc.aio.insecure_channel(f"unix:{where}/grpc", options=_OPTIONS).unary_unary(_METHOD)


async def _ask(say: Any) -> None:
    check_answer(await say(PAYLOAD), PAYLOAD)


async def _ask_array(say: Any) -> None:
    check_answer(matrix_of(await say(_MATRIX.tobytes())).nbytes, BYTES)
