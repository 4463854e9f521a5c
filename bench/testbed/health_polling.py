"""Asks agents for their health from outside: a plain REQ socket, one frame of JSON.

Agents are asked one after another. The last `ok` comes at the same moment as if all were asked at once, and
a single connection does not disturb the start that is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import msgspec
import zmq

from argosy.fault import Fault, RefusedError

REQUEST = b'{"action":"health"}'
_TIMEOUT_MS = 500
_PAUSE_S = 0.02


class HealthAnswer(msgspec.Struct, frozen=True):
    """The fields of a health answer that are checked."""

    status: str
    name: str


def wait_until_all_healthy(
    ports: Mapping[str, int],
    within_s: float,
    has_ended: Callable[[], bool] = lambda: False,
    pause_s: float = _PAUSE_S,
) -> None:
    """Return when every agent has answered `ok` under its own name.

    has_ended: return True when the processes have exited. pause_s: pause between two requests to an agent.
    Raises RefusedError: an agent did not answer `ok` within `within_s`; the message names it.
    """
    deadline = time.monotonic() + within_s
    with zmq.Context() as context:
        for name, port in ports.items():
            last = "nothing"
            while last != "ok":
                if has_ended() or time.monotonic() > deadline:
                    raise RefusedError(_no_answer_fault(name, port, last, within_s))
                answer = _health(context, port, pause_s)
                last = answer.status if answer and answer.name == name else f"{answer or 'nothing'}"
                if last != "ok":
                    time.sleep(pause_s)


def request_each(ports: Mapping[str, int], request: bytes) -> None:
    """Send a request to each agent and wait for its answer.

    Raises RefusedError: an agent does not answer.
    """
    with zmq.Context() as context:
        for name, port in ports.items():
            if _request(context, port, request, _PAUSE_S) is None:
                raise RefusedError(_no_answer_fault(name, port, "nothing", _TIMEOUT_MS / 1000))


def _no_answer_fault(name: str, port: int, last: str, within_s: float) -> Fault:
    message = f"`{name}` (port {port}) ended, or was not `ok` within {within_s:g} s; its last answer: {last}"
    return Fault("bench", "no-answer", message)


def _health(context: zmq.Context[zmq.Socket[bytes]], port: int, pause_s: float) -> HealthAnswer | None:
    answer = _request(context, port, REQUEST, pause_s)
    return None if answer is None else msgspec.json.decode(answer, type=HealthAnswer)


def _request(
    context: zmq.Context[zmq.Socket[bytes]], port: int, request: bytes, pause_s: float
) -> bytes | None:
    with context.socket(zmq.REQ) as socket:
        socket.linger = 0
        socket.reconnect_ivl = round(pause_s * 1000)
        socket.connect(f"tcp://127.0.0.1:{port}")
        socket.send(request)
        if not socket.poll(_TIMEOUT_MS):
            return None
        return socket.recv()
