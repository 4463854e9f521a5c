"""Plain pyzmq, what it costs at least: REQ and REP, DEALER and ROUTER, in blocking loops.

`by_hand` is the same DEALER on an event loop, its descriptor drained by hand and each reply given
to the task that waits for it: what one would write without argosy.
"""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from itertools import count
from typing import Any

import zmq

from wires.asking import BODY, IN_FLIGHT, Tally, Way, ask_for, ask_in_tasks, check, new_runner, say_ready

_EVENTS = int(zmq.EVENTS)
_POLLIN = int(zmq.POLLIN)
_NUMBER_BYTES = 8


def serve(where: str) -> None:
    """Answer on both sockets, a thread each; the one that is not asked takes nothing."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.bind(f"ipc://{where}/router")
    threading.Thread(target=_reply, args=(context, where), daemon=True).start()
    while True:
        router.send_multipart(router.recv_multipart())


def _reply(context: zmq.Context[zmq.Socket[bytes]], where: str) -> None:
    replier = context.socket(zmq.REP)
    replier.bind(f"ipc://{where}/rep")
    say_ready()
    while True:
        replier.send(replier.recv())


def ways(where: str) -> dict[str, Way]:
    """Return `req`: one at a time; `dealer`: 32 in flight; `by_hand`: 32 tasks."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    request, dealer = context.socket(zmq.REQ), context.socket(zmq.DEALER)
    request.connect(f"ipc://{where}/rep")
    dealer.connect(f"ipc://{where}/router")
    runner = new_runner()

    def ask() -> None:
        request.send(BODY)
        check(request.recv(), BODY)

    async def by_hand(seconds: float) -> Tally:
        line = _by_hand_line(where)
        return await ask_in_tasks(IN_FLIGHT, seconds, line.ask)

    return {
        "req": lambda seconds: ask_for(seconds, ask),
        "dealer": lambda seconds: _keep_in_flight(dealer, seconds),
        "by_hand": lambda seconds: runner.run(by_hand(seconds)),
    }


def _keep_in_flight(dealer: zmq.Socket[bytes], seconds: float) -> Tally:
    for _ in range(IN_FLIGHT):
        dealer.send(BODY)
    check(dealer.recv(), BODY)
    dealer.send(BODY)
    calls = 0
    began = now = time.perf_counter()
    while now - began < seconds:
        check(dealer.recv(), BODY)
        dealer.send(BODY)
        calls += 1
        now = time.perf_counter()
    for _ in range(IN_FLIGHT):
        dealer.recv()
    return Tally(calls, now - began)


class _Line:
    """A DEALER on the running loop, and who waits for which reply."""

    def __init__(self, where: str) -> None:
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.connect(f"ipc://{where}/router")
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._drain)
        self._numbers = count()
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}
        self._looks = False

    async def ask(self) -> None:
        number = next(self._numbers).to_bytes(_NUMBER_BYTES, "big")
        future = self._waiting[number] = self._loop.create_future()
        self._socket.send(number + BODY)
        if not self._looks:  # the descriptor is edge-triggered: a send may hide what has arrived
            self._looks = True
            self._loop.call_soon(self._look)
        check(await future, BODY)

    def _look(self) -> None:
        self._looks = False
        self._drain()

    def _drain(self) -> None:
        socket = self._socket
        events: Any = socket.get(_EVENTS)
        while events & _POLLIN:
            reply = socket.recv()
            self._waiting.pop(reply[:_NUMBER_BYTES]).set_result(reply[_NUMBER_BYTES:])
            events = socket.get(_EVENTS)


@functools.cache
def _by_hand_line(where: str) -> _Line:
    return _Line(where)
