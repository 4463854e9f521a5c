"""An agent's life lived once in a zygote, so that its children need not find out again what it finds out.

What is done for the first time fills caches, of types, of attributes, of signatures, and lets the
interpreter adapt the code that runs; each of these writes to a page, which a child would have to copy. The
loop is asyncio's own: uvloop would keep a pipe. Nothing else is left: no thread, no context, no descriptor.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from argosy.agent.agent import Agent
from argosy.agent.handlers import request
from argosy.agent.health import Health
from argosy.agent.life import Life
from argosy.agent.options import parse_options
from argosy.agent.settings import read_settings
from argosy.wire.lease import release_shared

if TYPE_CHECKING:
    from collections.abc import Callable

_TIMES = 2
# Bound for a moment, on a port that the kernel chooses; nobody listens at the notify socket.
_ENVIRON = {"ARGOSY_PORT": "0", "NOTIFY_SOCKET": "@argosy-first-life"}


class _Model(Agent):
    """What agents have: a handler of either kind, health with facts. Ends as soon as it is ready."""

    end: Callable[[], None]

    async def start(self) -> None:
        self.end()

    @request
    async def say(self, text: str, times: int = 1) -> dict[str, float]:
        return {text: float(times)}

    @request(short=True)
    def look(self) -> int:
        return 1

    def health(self) -> Health:
        return Health(facts={"looks": 1})


def live_first() -> None:
    """Live it, more than once: code is adapted when it runs again."""
    options, port = parse_options(_Model.Options, [])
    settings = read_settings(_Model.__name__, _ENVIRON, port)
    for _ in range(_TIMES):
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            life = Life(_Model, settings, options)
            _Model.end = staticmethod(partial(Life.end, life))
            runner.run(life.live(()))
        del _Model.end, life
    release_shared()
