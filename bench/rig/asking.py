"""Asks agents for their health as a stranger does: a plain REQ socket, one frame of JSON.

One agent after another: the moment when the last has said `ok` is the same as if all were asked at
once, and a single connection takes nothing from the start that is being measured.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec
import zmq

from argosy.fault import Fault, RefusedError

REQUEST = b'{"action":"health"}'
_PATIENCE_MS = 500
_PAUSE_S = 0.02


class Answer(msgspec.Struct, frozen=True):
    """What counts of a health answer."""

    status: str
    name: str


def wait_until_all_answer(ports: Mapping[str, int], within_s: float) -> None:
    """Return when every agent has answered `ok` under its own name.

    Raises RefusedError: one has not, within `within_s`; the first such agent is named.
    """
    deadline = time.monotonic() + within_s
    with zmq.Context() as context:
        for name, port in ports.items():
            last = "nothing"
            while last != "ok":
                if time.monotonic() > deadline:
                    message = (
                        f"`{name}` did not answer `ok` on port {port} within {within_s:g} s, last: {last}"
                    )
                    raise RefusedError(Fault("bench", "no-answer", message))
                answer = _ask(context, port)
                last = answer.status if answer and answer.name == name else f"{answer or 'nothing'}"
                if last != "ok":
                    time.sleep(_PAUSE_S)


def _ask(context: zmq.Context[zmq.Socket[bytes]], port: int) -> Answer | None:
    with context.socket(zmq.REQ) as socket:
        socket.linger = 0
        socket.reconnect_ivl = 20
        socket.connect(f"tcp://127.0.0.1:{port}")
        socket.send(REQUEST)
        if not socket.poll(_PATIENCE_MS):
            return None
        return msgspec.json.decode(socket.recv(), type=Answer)
