"""Loops that send requests for a number of seconds: by one caller, by threads, by tasks.

Every library runs in the same loops, so both sides have the same overhead. A first call sets up connections
and lanes before the clock starts.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

PAYLOAD_TEXT: Final = "sixty-four bytes, as most requests and replies of an agent have "
PAYLOAD: Final = PAYLOAD_TEXT.encode()
IN_FLIGHT: Final = 32


class Tally(msgspec.Struct, frozen=True):
    """The number of answered requests and the time."""

    calls: int
    seconds: float


LoadFunction = Callable[[float], Tally]


class WrongAnswerError(Exception):
    """An answer differs from what was sent."""


def check_answer(answer: object, expected: object) -> None:
    """Raise WrongAnswerError unless the answer is the expected one."""
    if answer != expected:
        raise WrongAnswerError(f"{answer!r:.80}, expected {expected!r:.80}")


def request_for(seconds: float, request: Callable[[], object]) -> Tally:
    """Send requests one after another."""
    request()
    calls = 0
    began = now = time.perf_counter()
    while now - began < seconds:
        request()
        calls += 1
        now = time.perf_counter()
    return Tally(calls, now - began)


def request_in_threads(count: int, seconds: float, make: Callable[[], Callable[[], object]]) -> Tally:
    """Send requests from threads at once; each thread calls `make` for its own request function."""
    ready = threading.Barrier(count)
    tallies: list[Tally] = []

    def work() -> None:
        request = make()
        request()
        ready.wait()
        tallies.append(request_for(seconds, request))

    threads = [threading.Thread(target=work) for _ in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return Tally(sum(t.calls for t in tallies), max(t.seconds for t in tallies))


async def request_in_tasks(count: int, seconds: float, request: Callable[[], Awaitable[object]]) -> Tally:
    """Send requests from tasks at once."""
    await asyncio.gather(*(request() for _ in range(count)))
    began = time.perf_counter()

    async def work() -> int:
        calls = 0
        while time.perf_counter() - began < seconds:
            await request()
            calls += 1
        return calls

    calls = sum(await asyncio.gather(*(work() for _ in range(count))))
    return Tally(calls, time.perf_counter() - began)


def new_runner() -> asyncio.Runner:
    """Return a runner with an agent's loop: uvloop where it is installed."""
    if os.environ.get("ARGOSY_LOOP") == "asyncio":
        return asyncio.Runner()
    try:
        uvloop: Any = importlib.import_module("uvloop")
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def print_ready() -> None:
    """Print `ready` for the process that started this server."""
    print("ready", flush=True)
