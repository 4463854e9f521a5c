"""Chooses the ports of a BaseAgent: declared ones, else the constructor's, else free ones."""

from __future__ import annotations

import socket

from argosy.agent.legacy.constructor_args import ConstructorArguments
from argosy.agent.legacy.port_arbiter import PortAssignment, exempt_binds
from argosy.agent.settings import Settings
from argosy.wire.zmq_context.port_release import wait_until_free


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
