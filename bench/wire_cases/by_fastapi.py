"""FastAPI under uvicorn on a unix socket, called by httpx: 32 tasks on one client."""

from __future__ import annotations

import functools

import fastapi
import httpx
import uvicorn

from wire_cases.load_loops import (
    IN_FLIGHT,
    PAYLOAD_TEXT,
    LoadFunction,
    Tally,
    check_answer,
    new_runner,
    print_ready,
    request_in_tasks,
)

_REQUEST = {"number": 7, "text": PAYLOAD_TEXT}


def serve(where: str) -> None:
    """Answer on a unix socket."""
    app = fastapi.FastAPI(on_startup=[print_ready])

    @app.post("/say")
    async def say(message: dict[str, object]) -> dict[str, object]:
        return message

    uvicorn.run(app, uds=f"{where}/fastapi", log_level="warning", access_log=False)


def load_functions(where: str) -> dict[str, LoadFunction]:
    """Return `tasks`: 32 of them."""
    runner = new_runner()

    async def work(seconds: float) -> Tally:
        client = _client(where)

        async def ask() -> None:
            check_answer((await client.post("/say", json=_REQUEST)).json(), _REQUEST)

        return await request_in_tasks(IN_FLIGHT, seconds, ask)

    return {"tasks": lambda seconds: runner.run(work(seconds))}


@functools.cache
def _client(where: str) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(
        uds=f"{where}/fastapi",
        limits=httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT),
    )
    return httpx.AsyncClient(transport=transport, base_url="http://echo")
