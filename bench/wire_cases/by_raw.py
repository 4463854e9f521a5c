"""Plain pyzmq, the lower bound: REQ and REP, DEALER and ROUTER, in blocking loops."""

from __future__ import annotations

import threading
import time

import zmq

from wire_cases.load_loops import (
    IN_FLIGHT,
    PAYLOAD,
    LoadFunction,
    Tally,
    check_answer,
    print_ready,
    request_for,
)


def serve(where: str) -> None:
    """Answer on both sockets, one thread each; an idle thread uses no processor."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.bind(f"ipc://{where}/router")
    threading.Thread(target=_reply, args=(context, where), daemon=True).start()
    while True:
        router.send_multipart(router.recv_multipart())


def _reply(context: zmq.Context[zmq.Socket[bytes]], where: str) -> None:
    replier = context.socket(zmq.REP)
    replier.bind(f"ipc://{where}/rep")
    print_ready()
    while True:
        replier.send(replier.recv())


def load_functions(where: str) -> dict[str, LoadFunction]:
    """Return `req`: one at a time; `dealer`: 32 in flight."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    request, dealer = context.socket(zmq.REQ), context.socket(zmq.DEALER)
    request.connect(f"ipc://{where}/rep")
    dealer.connect(f"ipc://{where}/router")

    def ask() -> None:
        request.send(PAYLOAD)
        check_answer(request.recv(), PAYLOAD)

    return {
        "req": lambda seconds: request_for(seconds, ask),
        "dealer": lambda seconds: _keep_in_flight(dealer, seconds),
    }


def _keep_in_flight(dealer: zmq.Socket[bytes], seconds: float) -> Tally:
    for _ in range(IN_FLIGHT):
        dealer.send(PAYLOAD)
    check_answer(dealer.recv(), PAYLOAD)
    dealer.send(PAYLOAD)
    calls = 0
    began = now = time.perf_counter()
    while now - began < seconds:
        check_answer(dealer.recv(), PAYLOAD)
        dealer.send(PAYLOAD)
        calls += 1
        now = time.perf_counter()
    for _ in range(IN_FLIGHT):
        dealer.recv()
    return Tally(calls, now - began)
