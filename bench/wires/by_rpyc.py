"""RPyC on a unix socket: one connection, 32 asynchronous requests in flight."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import rpyc
from rpyc.utils.factory import unix_connect
from rpyc.utils.server import ThreadedServer

from wires.asking import IN_FLIGHT, TEXT, Tally, Way, check, say_ready


class _Echo(rpyc.Service):  # type: ignore[misc,name-defined]
    def exposed_say(self, number: int, text: str) -> tuple[int, str]:
        return number, text


def serve(where: str) -> None:
    """Answer, a thread per connection."""
    server = ThreadedServer(_Echo, socket_path=f"{where}/rpyc")
    say_ready()  # it listens since it was made
    server.start()


def ways(where: str) -> dict[str, Way]:
    """Return `in_flight`: 32 requests on one connection."""
    connection: Any = unix_connect(f"{where}/rpyc")
    say = rpyc.async_(connection.root.say)
    return {"in_flight": lambda seconds: _keep_in_flight(say, seconds)}


def _keep_in_flight(say: Any, seconds: float) -> Tally:
    asked = deque(say(7, TEXT) for _ in range(IN_FLIGHT))
    calls = 0
    began = now = time.perf_counter()
    while now - began < seconds:
        check(asked.popleft().value, (7, TEXT))
        asked.append(say(7, TEXT))
        calls += 1
        now = time.perf_counter()
    for each in asked:
        each.wait()
    return Tally(calls, now - began)
