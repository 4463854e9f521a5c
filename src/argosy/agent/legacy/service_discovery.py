"""Service discovery functions for agents written before argosy, answered from the declared fleet.

Such agents looked each other up in a registry over ZeroMQ, and waited in their constructors for a registry
that did not know the others yet. The fleet's address book has every agent from the start, so nothing is
sent and nothing is waited for: a declared agent is found, any other is reported as not found at once.
Requests to other agents go by REQ and JSON, which every agent answers.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import zmq

from argosy.agent.health import DependencyHealth
from argosy.fault import ArgosyError
from argosy.wire.address_book import AddressResolver, AgentAddress
from argosy.wire.client.peer_health import LOST
from argosy.wire.zmq_context.context_handle import ContextHandle, context

__all__ = [
    "DiscoveryResult",
    "ServiceDiscoveryClient",
    "connect_to_service",
    "discover_service",
    "get_service_address",
    "get_service_discovery_client",
    "register_service",
]

SUCCESS: Final = "SUCCESS"
_WILDCARD_HOSTS: Final = ("*", "0.0.0.0", "::", "")

_log = logging.getLogger("argosy.agent")


class DiscoveryResult(dict[str, Any]):
    """The result of a lookup: a registry's answer as a dict, which unpacks into (found, answer).

    The lookup's signature says it returns a pair, and some callers unpack one or take its first item. Most
    take the result for the answer: they ask for its keys, or whether it is a dict. The agent's address is
    under `payload`, and at the top for callers that look there. False where nothing was found. Iterating
    gives the pair, so that the keys are `keys()`.
    """

    @property
    def is_found(self) -> bool:
        """Whether the agent is declared."""
        return self.get("status") == SUCCESS

    def __bool__(self) -> bool:
        return self.is_found

    def __iter__(self) -> Iterator[Any]:
        return iter((self.is_found, dict(self)))

    def __missing__(self, key: Any) -> Any:
        if key in (0, 1):
            return tuple(self)[key]
        raise KeyError(key)


class ServiceDiscoveryClient:
    """A client whose lookups go to the fleet's address book. sdt_port: accepted and ignored."""

    def __init__(self, sdt_port: int | None = None) -> None:
        self.sdt_port = sdt_port
        self.timeout = DEFAULT_TIMEOUT_MS
        self._context: ContextHandle | None = None

    @property
    def context(self) -> ContextHandle:
        """A handle on the process's context, for sockets to agents that were found."""
        if self._context is None or self._context.closed:
            self._context = context()
        return self._context

    def discover_service(self, service_name: str, machine: str | None = None) -> DiscoveryResult:
        """See the function of this name."""
        return discover_service(service_name, machine)

    def get_service_address(self, service_name: str, machine: str | None = None) -> str | None:
        """See the function of this name."""
        return get_service_address(service_name, machine)

    def connect_to_service(
        self, service_name: str, machine: str | None = None, socket_type: int = zmq.REQ
    ) -> zmq.Socket[bytes] | None:
        """Return a socket that is connected to an agent, None for an agent that is not declared."""
        address = get_service_address(service_name, machine)
        if address is None:
            return None
        new_socket: zmq.Socket[bytes] = self.context.socket(socket_type)
        new_socket.linger = 0
        new_socket.rcvtimeo = self.timeout
        new_socket.connect(address)
        return new_socket


_clients: list[ServiceDiscoveryClient] = []


def get_service_discovery_client() -> ServiceDiscoveryClient:
    """Return the process's client."""
    if not _clients:
        _clients.append(ServiceDiscoveryClient())
    return _clients[0]


def discover_service(service_name: str, machine: str | None = None) -> DiscoveryResult:
    """Return the answer as a registry gave it, with `ip`, `host` and `port` under `payload`.

    machine: where the agent must be; it counts if it is one of the fleet's machines.
    """
    try:
        host, port = agent_address(service_name)
    except RuntimeError as error:
        _log.warning("%s", error)
        return _not_found(f"service `{service_name}` not found: {error}")
    machine_name, known = agent_machine(service_name)
    if machine in known and machine != machine_name:
        return _not_found(
            f"service `{service_name}` not found on `{machine}`: it is declared on `{machine_name}`"
        )
    host = "127.0.0.1" if host in _WILDCARD_HOSTS else host
    payload = {"name": service_name, "ip": host, "host": host, "port": port, "location": machine_name}
    return DiscoveryResult(payload, status=SUCCESS, payload=payload)


def _not_found(message: str) -> DiscoveryResult:
    return DiscoveryResult(status="error", message=message)


def get_service_address(service_name: str, machine: str | None = None) -> str | None:
    """Return an agent's endpoint, such as `tcp://10.0.0.4:5595`; None for one that is not declared."""
    result = discover_service(service_name, machine)
    return f"tcp://{result['ip']}:{result['port']}" if result else None


def connect_to_service(
    service_name: str, machine: str | None = None, socket_type: int = zmq.REQ
) -> zmq.Socket[bytes] | None:
    """Return a socket that is connected to an agent, None for an agent that is not declared."""
    return get_service_discovery_client().connect_to_service(service_name, machine, socket_type)


def register_service(
    name: str,
    location: str | None = None,
    ip: str | None = None,
    port: int | None = None,
    additional_info: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return whether others find `name`: the fleet file has its address, and not this call."""
    result = discover_service(name)
    if not result:
        return dict(result)
    declared = result["payload"]["port"]
    if port is not None and str(port) != str(declared):
        _log.warning("`%s` registers port %s, but its fleet declares %s, which is used", name, port, declared)
    return {"status": SUCCESS, "message": f"`{name}` is declared", "payload": result["payload"]}


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
