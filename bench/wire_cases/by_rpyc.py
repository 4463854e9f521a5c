"""RPyC on a unix socket: threads with a connection each, and one connection with requests in flight."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import rpyc
from rpyc.utils.factory import unix_connect
from rpyc.utils.server import ThreadedServer

from wire_cases.load_loops import (
    IN_FLIGHT,
    PAYLOAD_TEXT,
    LoadFunction,
    Tally,
    check_answer,
    print_ready,
    request_in_threads,
)


class Echo(rpyc.Service):  # type: ignore[misc,name-defined]
    def exposed_say(self, number: int, text: str) -> tuple[int, str]:
        return number, text


def serve(where: str) -> None:
    """Answer, a thread per connection."""
    server = ThreadedServer(Echo, socket_path=f"{where}/rpyc")
    print_ready()  # it listens since its creation
    server.start()


def load_functions(where: str) -> dict[str, LoadFunction]:
    """Return `threads`: 32 callers; `in_flight`: 32 requests of one caller, which takes replies in order."""
    connection: Any = unix_connect(f"{where}/rpyc")
    say = rpyc.async_(connection.root.say)
    kept: list[Any] = []

    def make() -> Callable[[], None]:
        own = unix_connect(f"{where}/rpyc")
        say_alone = own.root.say  # fetched once: each attribute access is a round trip
        kept.append(own)
        return lambda: check_answer(say_alone(7, PAYLOAD_TEXT), (7, PAYLOAD_TEXT))

    return {
        "threads": lambda seconds: request_in_threads(IN_FLIGHT, seconds, make),
        "in_flight": lambda seconds: _keep_in_flight(say, seconds),
    }


def _keep_in_flight(say: Any, seconds: float) -> Tally:
    asked = deque(say(7, PAYLOAD_TEXT) for _ in range(IN_FLIGHT))
    calls = 0
    began = now = time.perf_counter()
    while now - began < seconds:
        check_answer(asked.popleft().value, (7, PAYLOAD_TEXT))
        asked.append(say(7, PAYLOAD_TEXT))
        calls += 1
        now = time.perf_counter()
    for each in asked:
        each.wait()
    return Tally(calls, now - began)
