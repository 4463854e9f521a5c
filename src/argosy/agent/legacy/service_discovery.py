"""Service discovery functions for agents written before argosy, answered from the declared fleet.

Such agents looked each other up in a registry over ZeroMQ, and waited in their constructors for a registry
that did not know the others yet. The fleet's address book has every agent from the start, so nothing is
sent and nothing is waited for: a declared agent is found, any other is reported as not found at once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Final

import zmq

from argosy.agent.legacy.json_client import DEFAULT_TIMEOUT_MS, agent_address, agent_machine
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
