"""Plain pyzmq, what it costs at least: REQ and REP, DEALER and ROUTER, in blocking loops."""

from __future__ import annotations

import threading
import time

import zmq

from wire_cases.load_loops import BODY, IN_FLIGHT, Tally, Way, ask_for, check, say_ready


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
    """Return `req`: one at a time; `dealer`: 32 in flight."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    request, dealer = context.socket(zmq.REQ), context.socket(zmq.DEALER)
    request.connect(f"ipc://{where}/rep")
    dealer.connect(f"ipc://{where}/router")

    def ask() -> None:
        request.send(BODY)
        check(request.recv(), BODY)

    return {
        "req": lambda seconds: ask_for(seconds, ask),
        "dealer": lambda seconds: _keep_in_flight(dealer, seconds),
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
