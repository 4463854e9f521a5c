"""The ports of an old agent: declared ones, else those its constructor was given, else free ones."""

from __future__ import annotations

import socket

from argosy.agent.compat.arbiter import Claims, exempt
from argosy.agent.compat.given import Given
from argosy.agent.settings import Settings
from argosy.wire.port import wait_free


def choose_ports(settings: Settings, given: Given) -> Claims:
    """Return an agent's ports, and those of the other agents on its machine.

    In a fleet there is a health port only where one is declared, or was given and is nobody
    else's; alone it is the one after the main port, as ever, if that is free.
    """
    entry, directory = settings.entry, settings.directory
    main = entry.port or given.port or free_port(entry.bind)
    if directory is None:
        health = entry.health_port or given.health_port or _next_to(main, entry.bind)
        return Claims(main, health, {}, in_fleet=False)
    others = _others(settings)
    others.pop(main, None)
    health_port = entry.health_port or (given.health_port if given.health_port not in others else None)
    others.pop(health_port or 0, None)
    return Claims(main, health_port, others, in_fleet=True)


def _others(settings: Settings) -> dict[int, str]:
    """Return the ports that other agents of this machine declare, each with its agent."""
    assert settings.directory
    book = settings.directory.book
    return {
        port: name
        for name, other in book.agents.items()
        if name != settings.name and other.machine in book.machines
        for port in (other.port, other.health_port)
        if port
    }


def _next_to(main: int, host: str) -> int:
    with exempt():
        is_free = main < 65535 and wait_free([f"tcp://{host}:{main + 1}"], 0.0)
    return main + 1 if is_free else free_port(host)


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nobody has bound now."""
    with exempt(), socket.socket() as trial:
        trial.bind(("0.0.0.0" if host in ("*", "") else host, 0))
        port: int = trial.getsockname()[1]
        return port
