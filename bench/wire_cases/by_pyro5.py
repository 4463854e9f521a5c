"""Pyro5 on a unix socket, with `marshal`, the fastest of its serializers; a proxy per thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import Pyro5.api
import Pyro5.server

from wire_cases.array_payload import BYTES, matrix, matrix_of
from wire_cases.load_loops import (
    IN_FLIGHT,
    PAYLOAD_TEXT,
    LoadFunction,
    check_answer,
    print_ready,
    request_for,
    request_in_threads,
)

_NAME = "echo"


@Pyro5.api.expose
class Echo:
    def say(self, number: int, text: str) -> tuple[int, str]:
        return number, text

    def array(self, data: bytes) -> bytes:
        return data


def serve(where: str) -> None:
    """Answer, a thread per connection."""
    daemon = Pyro5.server.Daemon(unixsocket=f"{where}/pyro")
    daemon.register(Echo, _NAME)
    print_ready()
    daemon.requestLoop()


def load_functions(where: str) -> dict[str, LoadFunction]:
    """Return `threads`: 32 of them, a proxy each; `arrays`: one caller."""

    def proxy() -> Any:
        made = Pyro5.api.Proxy(f"PYRO:{_NAME}@./u:{where}/pyro")
        made._pyroSerializer = "marshal"
        return made

    def make() -> Callable[[], None]:
        own = proxy()
        return lambda: check_answer(tuple(own.say(7, PAYLOAD_TEXT)), (7, PAYLOAD_TEXT))

    sent, alone = matrix(), proxy()

    def ask() -> None:
        check_answer(matrix_of(alone.array(sent.tobytes())).nbytes, BYTES)

    def arrays(seconds: float) -> Any:
        alone._pyroClaimOwnership()
        return request_for(seconds, ask)

    return {"threads": lambda seconds: request_in_threads(IN_FLIGHT, seconds, make), "arrays": arrays}
