"""Redis lists on a unix socket: 32 callers push a request each and wait on a list of their own."""

from __future__ import annotations

import functools
import socket
from collections.abc import Awaitable

import redis
import redis.asyncio

from wire_cases.child_server import start_child_server, wait_until_accepting
from wire_cases.load_loops import (
    IN_FLIGHT,
    PAYLOAD,
    LoadFunction,
    Tally,
    check_answer,
    new_runner,
    print_ready,
    request_in_tasks,
)

PROGRAM = "redis-server"
_ASKED = "asked"


def serve(where: str) -> None:
    """Answer in a blocking loop, with a Redis server that stores nothing on disk."""
    path = f"{where}/redis"
    start_child_server(
        [PROGRAM, "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no", "--dir", where]
    )
    wait_until_accepting(socket.AF_UNIX, path)
    client = redis.Redis(unix_socket_path=path, socket_timeout=None)  # idle in most rounds
    print_ready()
    while True:
        asked = client.blpop([_ASKED])
        answers, body = asked[1].split(b" ", 1)
        client.rpush(answers, body)


def load_functions(where: str) -> dict[str, LoadFunction]:
    """Return `tasks`: 32 of them, each with its own connection, since waiting blocks it."""
    runner = new_runner()

    async def work(seconds: float) -> Tally:
        idle = _callers(where)

        async def ask() -> None:
            caller = idle.pop()
            await caller.ask()
            idle.append(caller)

        return await request_in_tasks(IN_FLIGHT, seconds, ask)

    return {"tasks": lambda seconds: runner.run(work(seconds))}


class _Caller:
    """A caller and the list of its answers."""

    def __init__(self, where: str, number: int) -> None:
        self._client = redis.asyncio.Redis(
            unix_socket_path=f"{where}/redis", single_connection_client=True, socket_timeout=None
        )
        self._answers = f"answers.{number}"
        self._request = f"{self._answers} ".encode() + PAYLOAD

    async def ask(self) -> None:
        pushed: Awaitable[int] = self._client.rpush(_ASKED, self._request)
        await pushed
        check_answer((await self._client.blpop([self._answers]))[1], PAYLOAD)


@functools.cache
def _callers(where: str) -> list[_Caller]:
    return [_Caller(where, number) for number in range(IN_FLIGHT)]
