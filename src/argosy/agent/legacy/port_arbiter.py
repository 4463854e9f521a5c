"""Chooses the ports of a BaseAgent, and which socket gets one: the agent's own first, literal ports last.

An agent may bind a port again that BaseAgent has bound already, or a port that another agent
of its machine declares. So each bind of the process is checked first. On the agent's own ports
BaseAgent's socket yields. A bind on another agent's port, or on the port after the main port where another
health port is declared, is redirected and reported.

ZeroMQ binds are intercepted by replacing `zmq.Socket.bind`, since agents make contexts of
their own; binds of plain sockets by the interpreter's audit event, which can make room for
them, but not redirect them.
"""

from __future__ import annotations

import enum
import logging
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec
import zmq

from argosy.agent.legacy.constructor_args import ConstructorArguments
from argosy.agent.settings import Settings
from argosy.wire.zmq_context.closing_sockets import wait_until_free

_log = logging.getLogger("argosy.agent")

_REQUEST_SOCKET_TYPES: Final = frozenset((int(zmq.REP), int(zmq.ROUTER)))


class BindAction(enum.Enum):
    """What happens to a bind."""

    ALLOW = "pass"
    YIELD = "give"
    REDIRECT = "move"


class BindDecision(msgspec.Struct, frozen=True):
    """The decision on one bind. port: the one to give up, or to bind instead, 0 for any free one."""

    action: BindAction
    port: int = 0
    reason: str = ""


ALLOW: Final = BindDecision(BindAction.ALLOW)


class PortAssignment(msgspec.Struct, frozen=True):
    """The ports of an agent: its own, those of others on its machine, and whether it uses its main one.

    is_declared: the ports are declared, and not only the constructor's.
    """

    main: int
    health: int | None
    other_agents: Mapping[int, str]
    is_declared: bool


def decide_bind(
    ports: PortAssignment, port: int, *, takes_requests: bool, main_is_free: bool
) -> BindDecision:
    """Decide on a bind of the agent's.

    takes_requests: the socket's type is one that answers. main_is_free: no socket of the agent's
    is on its main port yet, so that a request socket on a wrong port is meant to be there.
    """
    if port in (ports.main, ports.health):
        return BindDecision(BindAction.YIELD, port)
    if port in ports.other_agents:
        target_port = ports.main if takes_requests and main_is_free else 0
        return BindDecision(
            BindAction.REDIRECT, target_port, f"port {port} is declared for `{ports.other_agents[port]}`"
        )
    if ports.is_declared and takes_requests and port == ports.main + 1:
        return BindDecision(BindAction.REDIRECT, 0, f"the health port is {ports.health}, not {port}")
    return ALLOW


class PortArbiter(Protocol):
    """Decides on the binds of this process, and releases ports."""

    def decide(self, port: int, takes_requests: bool) -> BindDecision: ...

    def release_port(self, port: int, is_temporary: bool) -> None: ...

    def on_redirected(self, port: int, endpoint: str, reason: str) -> None: ...


_arbiters: list[PortArbiter] = []
_exempt_state = threading.local()
_original_bind: list[Callable[..., Any]] = []


def set_arbiter(arbiter: PortArbiter | None) -> None:
    """Set the arbiter of this process's binds from now on; None allows all."""
    _arbiters[:] = [arbiter] if arbiter else []
    if arbiter and not _original_bind:
        _original_bind.append(zmq.Socket.bind)
        zmq.Socket.bind = _bind  # type: ignore[method-assign]
        sys.addaudithook(_on_audit)


class exempt_binds:  # noqa: N801 - reads as a statement: `with exempt():`
    """Context in which argosy's own binds of this thread are allowed."""

    def __enter__(self) -> None:
        self._previous = getattr(_exempt_state, "on", False)
        _exempt_state.on = True

    def __exit__(self, *_: object) -> None:
        _exempt_state.on = self._previous


def _bind(self: zmq.Socket[Any], addr: str) -> Any:
    """Bind a ZeroMQ socket as the arbiter decides."""
    arbiter = _active_arbiter()
    port = _port(addr)
    if arbiter is None or not port:
        return _original_bind[0](self, addr)
    with exempt_binds():
        decision = arbiter.decide(port, int(self.type) in _REQUEST_SOCKET_TYPES)
        if decision.action is BindAction.ALLOW:
            return _original_bind[0](self, addr)
        if decision.port:
            arbiter.release_port(decision.port, is_temporary=False)
        if decision.action is BindAction.YIELD:
            _unbind_from(self, port)
            return _original_bind[0](self, addr)
        result = _original_bind[0](self, f"{addr.rpartition(':')[0]}:{decision.port or '*'}")
        arbiter.on_redirected(port, _bound_endpoint(self), decision.reason)
        return result


def _on_audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "socket.bind":
        return
    arbiter = _active_arbiter()
    if arbiter is None:
        return
    plain, address = arguments
    if plain.type != socket.SOCK_STREAM or not isinstance(address, tuple) or not address[1]:
        return
    with exempt_binds():
        decision = arbiter.decide(address[1], True)
        if decision.action is BindAction.YIELD:
            arbiter.release_port(decision.port, is_temporary=True)
        elif decision.action is BindAction.REDIRECT:
            _log.warning("a plain socket binds port %d, although %s", address[1], decision.reason)


def _active_arbiter() -> PortArbiter | None:
    return _arbiters[0] if _arbiters and not getattr(_exempt_state, "on", False) else None


def _unbind_from(bound: zmq.Socket[Any], port: int) -> None:
    """Unbind a socket from a port that it has already, as BaseAgent's own has; it is then bound again."""
    last = _bound_endpoint(bound)
    if _port(last) == port:
        bound.unbind(last)
        wait_until_free([last])  # the context's own thread releases it asynchronously


def _bound_endpoint(bound: zmq.Socket[Any]) -> str:
    """Return the endpoint that a socket is bound to."""
    endpoint = bound.get(zmq.LAST_ENDPOINT)
    return endpoint.decode() if isinstance(endpoint, bytes) else str(endpoint)


def _port(address: object) -> int:
    """Return the port of a TCP endpoint with a fixed one, 0 for all other addresses."""
    if not isinstance(address, str) or not address.startswith("tcp://"):
        return 0
    port = address.rpartition(":")[2]
    return int(port) if port.isdecimal() else 0


def choose_ports(settings: Settings, arguments: ConstructorArguments) -> PortAssignment:
    """Return an agent's ports, and those of the other agents on its machine.

    In a fleet there is a health port only where one is declared, or was given and is nobody
    else's; without a fleet it is the one after the main port, if that is free.
    """
    address, resolver = settings.address, settings.resolver
    main = address.port or arguments.port or free_port(address.bind)
    if resolver is None:
        health = address.health_port or arguments.health_port or _port_after(main, address.bind)
        return PortAssignment(main, health, {}, is_declared=False)
    others = _other_agents_ports(settings)
    others.pop(main, None)
    health_port = address.health_port or (
        arguments.health_port if arguments.health_port not in others else None
    )
    others.pop(health_port or 0, None)
    return PortAssignment(main, health_port, others, is_declared=True)


def _other_agents_ports(settings: Settings) -> dict[int, str]:
    """Return the ports that other agents of this machine declare, each with its agent."""
    assert settings.resolver
    book = settings.resolver.book
    return {
        port: name
        for name, other in book.agents.items()
        if name != settings.name and other.machine in book.machines
        for port in (other.port, other.health_port)
        if port
    }


def _port_after(main: int, host: str) -> int:
    with exempt_binds():
        is_free = main < 65535 and wait_until_free([f"tcp://{host}:{main + 1}"], 0.0)
    return main + 1 if is_free else free_port(host)


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that is free now."""
    with exempt_binds(), socket.socket() as trial:
        trial.bind(("0.0.0.0" if host in ("*", "") else host, 0))
        port: int = trial.getsockname()[1]
        return port
