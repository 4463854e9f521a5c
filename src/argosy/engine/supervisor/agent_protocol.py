"""Which protocol an agent speaks, derived from what the engine started and what listens.

An agent of the library binds an ipc socket beside its port, whether a class or a script runs it; a script
without the library has none. Such a script takes JSON on a REP socket if its probe is `zmq`, because the
probe asks in the same way. The protocol of an agent with another probe is unknown.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from argosy.agent.health import HEALTH_ACTIONS
from argosy.engine.plan.applied_plan import load_applied_plan
from argosy.engine.state.runtime_sockets import is_listening
from argosy.wire.address_book import read_address_book, socket_path

if TYPE_CHECKING:
    from argosy.engine.plan.process_plan import ProcessSpec
    from argosy.engine.state.state_dir import StateDir


class ArgosyWire(NamedTuple):
    """Argosy's own protocol."""


class PlainJson(NamedTuple):
    """One JSON object each way, `{"action": METHOD, ...}`, on a REP socket.

    port: where methods are called; probe_port: where the readiness probe asks. probe_method: the method
    that the probe calls, empty when it sends something else.
    """

    host: str
    port: int
    probe_port: int
    probe_method: str

    def endpoint(self, method: str) -> str:
        """Return the endpoint of a method: health methods and the probe's method go to the probe port."""
        is_probe = method == self.probe_method or method in HEALTH_ACTIONS
        return f"tcp://{self.host}:{self.probe_port if is_probe else self.port}"


class UnknownProtocol(NamedTuple):
    """Another protocol, or none. reason: what is known of it. hint: how to ask it."""

    reason: str
    hint: str


AgentProtocol = ArgosyWire | PlainJson | UnknownProtocol


def detect_protocol(agent: str, state_dir: StateDir) -> AgentProtocol:
    """Return the protocol of an agent; Argosy's for one that runs elsewhere or was never started."""
    applied_plan = load_applied_plan(state_dir)
    spec = applied_plan.plan.processes.get(agent) if applied_plan is not None else None
    if spec is None or spec.is_sdk:
        return ArgosyWire()
    path = socket_path(read_address_book(state_dir.address_book).runtime, agent)
    if path is not None and is_listening(Path(path)):
        return ArgosyWire()
    return _detect_by_probe(spec)


def _detect_by_probe(spec: ProcessSpec) -> AgentProtocol:
    """Return the protocol of a script without the library, by its probe."""
    kind, port = spec.probe.probe, spec.probe_port
    if kind == "zmq" and port is not None:
        return PlainJson(spec.host, spec.port or port, port, _probe_action(spec.probe.send))
    if kind == "http" and port is not None:
        url = f"http://{spec.host}:{port}{spec.probe.path or '/health'}"
        return UnknownProtocol("is an HTTP server, by its probe", f"`curl {url}`")
    return UnknownProtocol(
        f"runs without argosy's library, and its probe is `{kind}`",
        'if it answers {"action": ...} on a REP socket, give it a `port` and `ready: {probe: zmq}`',
    )


def _probe_action(send: dict[str, object] | str | None) -> str:
    if isinstance(send, str):
        with contextlib.suppress(ValueError):
            send = json.loads(send)
    document = {"action": "health"} if send is None else send
    action = document.get("action") if isinstance(document, dict) else None
    return action if isinstance(action, str) else ""
