"""Pyro5 on a unix socket, with `marshal`, the fastest of its serializers; a proxy per thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import Pyro5.api
import Pyro5.server

from wire_cases.array_payload import BYTES, matrix, matrix_of
from wire_cases.load_loops import IN_FLIGHT, TEXT, Way, ask_for, ask_in_threads, check, say_ready

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
    say_ready()
    daemon.requestLoop()


def ways(where: str) -> dict[str, Way]:
    """Return `threads`: 32 of them, a proxy each; `arrays`: one caller."""

    def proxy() -> Any:
        made = Pyro5.api.Proxy(f"PYRO:{_NAME}@./u:{where}/pyro")
        made._pyroSerializer = "marshal"
        return made

    def make() -> Callable[[], None]:
        own = proxy()
        return lambda: check(tuple(own.say(7, TEXT)), (7, TEXT))

    sent, alone = matrix(), proxy()

    def ask() -> None:
        check(matrix_of(alone.array(sent.tobytes())).nbytes, BYTES)

    def arrays(seconds: float) -> Any:
        alone._pyroClaimOwnership()
        return ask_for(seconds, ask)

    return {"threads": lambda seconds: ask_in_threads(IN_FLIGHT, seconds, make), "arrays": arrays}
