"""Runs a sample agent in a zygote, so that its children find the interpreter's caches filled.

A first run fills caches of types, attributes and signatures, and specializes bytecode. Each of these writes
to a page, which a child would have to copy. The event loop is asyncio's own: uvloop would keep a pipe.
Nothing else stays: no thread, no context, no descriptor. The sample agent has a fleet of its own, whose
address book is in memory, and no directories: it leaves nothing in the file system.
"""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from argosy.agent.agent import Agent
from argosy.agent.agent_runtime import AgentRuntime
from argosy.agent.handlers import request
from argosy.agent.health import Health
from argosy.agent.options import parse_options
from argosy.agent.settings import read_settings
from argosy.wire.address_book import MAX_SOCKET_PATH_BYTES, AddressBook, AgentAddress
from argosy.wire.zmq_context.context_handle import terminate_shared

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NAME, _MACHINE = "warmup", "here"
# Paths below this directory are too long for any socket.
_NO_RUNTIME_DIR = "/" + "-" * MAX_SOCKET_PATH_BYTES
_BOOK = AddressBook(
    fleet=_NAME,
    environment="development",
    machines=(_MACHINE,),
    runtime=_NO_RUNTIME_DIR,
    agents={
        _NAME: AgentAddress(_MACHINE, needs=("another",)),
        "another": AgentAddress(_MACHINE, port=1, health_port=2),
    },
)
# The port is chosen by the kernel and bound for a moment; nobody listens at the notify socket.
_ENVIRON = {"ARGOSY_AGENT": _NAME, "ARGOSY_PORT": "0", "NOTIFY_SOCKET": "@argosy-warmup"}


class _SampleAgent(Agent):
    """An agent with handlers of both kinds and health facts; stops as soon as it is ready."""

    end: Callable[[], None]

    async def start(self) -> None:
        self.end()

    @request
    async def echo(self, text: str, times: int = 1) -> dict[str, float]:
        return {text: float(times)}

    @request(short=True)
    def count(self) -> int:
        return 1

    def health(self) -> Health:
        return Health(facts={"looks": 1})


def run_warmup() -> None:
    """Run the sample agent; called twice, since code is specialized when it runs again."""
    book = os.memfd_create("argosy-address-book", os.MFD_CLOEXEC)
    try:
        os.write(book, msgspec.json.encode(_BOOK))
        _run_sample_agent(_ENVIRON | {"ARGOSY_BOOK": f"/proc/self/fd/{book}"})
    finally:
        os.close(book)
    terminate_shared()


def _run_sample_agent(environ: Mapping[str, str]) -> None:
    options, port = parse_options(_SampleAgent.Options, [])
    settings = read_settings(_SampleAgent.__name__, environ, port)
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runtime = AgentRuntime(_SampleAgent, settings, options)
        _SampleAgent.end = staticmethod(partial(AgentRuntime.request_stop, runtime))
        runner.run(runtime.run(()))
    del _SampleAgent.end
