"""Requests to another agent by REQ and JSON, which every agent answers."""

from __future__ import annotations

import os
import time
import uuid
from datetime import datetime
from typing import Any, Final

import zmq

from argosy.agent.dependency_health import DependencyHealth
from argosy.fault import ArgosyError
from argosy.wire.address_book import AddressResolver, AgentAddress
from argosy.wire.client.peer_health import LOST
from argosy.wire.zmq_context.context_handle import context

DEFAULT_TIMEOUT_MS: Final = 5000  # the receive time-out that callers expect

# The states observed in this process's requests to other agents.
observed_health = DependencyHealth()


def agent_address(name: str) -> tuple[str, int]:
    """Return (host, port) of an agent, as its fleet declares it.

    Raises RuntimeError, as callers expect: there is no fleet, no such agent, or it has no port.
    """
    address = _resolve(name)[1]
    if address.port is None:
        raise RuntimeError(f"could not locate agent `{name}`: it declares no port")
    return address.host, address.port


def agent_machine(name: str) -> tuple[str, frozenset[str]]:
    """Return an agent's machine and the names of all machines of its fleet; raises RuntimeError as above."""
    resolver, address = _resolve(name)
    return address.machine, frozenset(each.machine for each in resolver.book.agents.values())


def _resolve(name: str) -> tuple[AddressResolver, AgentAddress]:
    path = os.environ.get("ARGOSY_BOOK")
    if not path:
        raise RuntimeError(f"could not locate agent `{name}`: there is no fleet (ARGOSY_BOOK is not set)")
    try:
        resolver = AddressResolver(path)
        return resolver, resolver.address(name)
    except ArgosyError as error:
        raise RuntimeError(f"could not locate agent `{name}`: {error}") from error


def request_agent(
    caller_name: str,
    name: str,
    request: dict[str, Any],
    host: str | None,
    port: int | None,
    timeout_ms: int,
    tries: int,
    retry_delay_s: float,
) -> dict[str, Any]:
    """Send a request and return the reply; a bare reply comes under `data`.

    host, port: the address; the fleet's where either is missing. A wildcard means this machine.
    Raises RuntimeError: the agent cannot be located, or did not reply in any of the tries.
    """
    if not host or not port:
        declared_host, declared_port = agent_address(name)
        host, port = host or declared_host, port or declared_port
    if host in ("*", "0.0.0.0", "::"):
        host = "127.0.0.1"
    message = {
        **request,
        "source_agent": caller_name,
        "request_id": str(uuid.uuid4()),
        "timestamp": datetime.now().isoformat(),
    }
    observe = observed_health.observer(name)
    for number in range(max(1, tries)):
        if number:
            time.sleep(retry_delay_s)
        try:
            reply = _send_once(f"tcp://{host}:{port}", message, timeout_ms)
        except (zmq.ZMQError, ValueError) as error:
            last = error
            if isinstance(error, zmq.ZMQError):
                observe(LOST)
        else:
            observe("ok")
            return reply if isinstance(reply, dict) else {"status": "success", "data": reply}
    raise RuntimeError(f"no answer from `{name}` at {host}:{port} in {max(1, tries)} tries: {last}") from last


def _send_once(endpoint: str, message: dict[str, Any], timeout_ms: int) -> Any:
    """Send one request. Raises zmq.Again after the time-out, ValueError when the reply is not JSON."""
    with context() as handle, handle.socket(zmq.REQ) as socket:
        socket.linger = 0
        socket.rcvtimeo = socket.sndtimeo = timeout_ms
        socket.connect(endpoint)
        socket.send_json(message)
        return socket.recv_json()
