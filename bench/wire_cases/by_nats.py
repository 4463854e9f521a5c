"""NATS on the loopback interface: requests and replies through its server, 32 tasks on one connection."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import nats

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

PROGRAM = "nats-server"
_HOST = "127.0.0.1"
_SUBJECT = "say"


def serve(where: str) -> None:
    """Answer on a loop, with a NATS server on a free port."""
    port = _free_port()
    start_child_server([PROGRAM, "--addr", _HOST, "--port", str(port), "--log", f"{where}/nats.log"])
    wait_until_accepting(socket.AF_INET, (_HOST, port))
    _place(where).write_text(str(port))
    with new_runner() as runner:
        runner.run(_serve(port))


async def _serve(port: int) -> None:
    client = await nats.connect(f"nats://{_HOST}:{port}")

    async def say(message: Any) -> None:
        await message.respond(message.data)

    await client.subscribe(_SUBJECT, cb=say)
    await client.flush()
    print_ready()
    await asyncio.Event().wait()


def load_functions(where: str) -> dict[str, LoadFunction]:
    """Return `tasks`: 32 of them on one connection."""
    runner = new_runner()
    connected: list[Any] = []

    async def work(seconds: float) -> Tally:
        if not connected:
            connected.append(await nats.connect(f"nats://{_HOST}:{_place(where).read_text()}"))
        client = connected[0]

        async def ask() -> None:
            check_answer((await client.request(_SUBJECT, PAYLOAD, timeout=10)).data, PAYLOAD)

        return await request_in_tasks(IN_FLIGHT, seconds, ask)

    return {"tasks": lambda seconds: runner.run(work(seconds))}


def _place(where: str) -> Path:
    return Path(where, "nats.port")


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind((_HOST, 0))
        port: int = trial.getsockname()[1]
        return port
