"""zerorpc on an ipc socket: 32 greenlets on one client."""

from __future__ import annotations

import time
from typing import Any

import gevent
import zerorpc

from wire_cases.load_loops import IN_FLIGHT, PAYLOAD_TEXT, LoadFunction, Tally, check_answer, print_ready


class Echo:
    def say(self, text: str) -> str:
        return text


def serve(where: str) -> None:
    """Answer, a greenlet per request."""
    server = zerorpc.Server(Echo(), heartbeat=None)
    server.bind(f"ipc://{where}/zerorpc")
    print_ready()
    server.run()


def load_functions(where: str) -> dict[str, LoadFunction]:
    """Return `greenlets`: 32 of them."""
    client = zerorpc.Client(heartbeat=None)
    client.connect(f"ipc://{where}/zerorpc")
    return {"greenlets": lambda seconds: _ask(client, seconds)}


def _ask(client: Any, seconds: float) -> Tally:
    client.say(PAYLOAD_TEXT)
    began = time.perf_counter()

    def work() -> int:
        calls = 0
        while time.perf_counter() - began < seconds:
            check_answer(client.say(PAYLOAD_TEXT), PAYLOAD_TEXT)
            calls += 1
        return calls

    workers = [gevent.spawn(work) for _ in range(IN_FLIGHT)]
    gevent.joinall(workers, raise_error=True)
    return Tally(sum(each.value for each in workers), time.perf_counter() - began)
