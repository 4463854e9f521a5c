"""The settings that an agent's process gets in its environment, from the engine or from nobody."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from argosy.fault import Fault, InputError
from argosy.wire.address_book import AddressResolver, AgentAddress, socket_path
from argosy.wire.security.curve_keys import Keyring

# The default address: reachable from this machine only.
LOOPBACK_ADDRESS = AgentAddress(machine="", host="127.0.0.1", bind="127.0.0.1")


class Settings(msgspec.Struct, frozen=True):
    """An agent's place in its fleet.

    notify: path of the sd_notify socket, empty for none. watchdog_s: 0 for none.
    """

    name: str
    fleet: str = ""
    environment: str = "development"
    address: AgentAddress = LOOPBACK_ADDRESS
    resolver: AddressResolver | None = None
    notify: str = ""
    watchdog_s: float = 0.0

    @property
    def endpoints(self) -> list[str]:
        """What the agent binds: its ports, and its ipc socket in the fleet's runtime directory."""
        ports = [p for p in (self.address.port, self.address.health_port) if p is not None]
        bound = [f"tcp://{self.address.bind}:{port}" for port in dict.fromkeys(ports)]
        path = socket_path(self.resolver.book.runtime, self.name) if self.resolver else None
        return [*bound, f"ipc://{path}"] if path else bound

    @property
    def keyring(self) -> Keyring | None:
        """The keys of the agent's machine, None in a fleet without keys."""
        keys_dir = self.resolver.book.keys if self.resolver else ""
        return Keyring(keys_dir, [self.address.machine]) if keys_dir else None

    def current_address(self) -> AgentAddress:
        """Return the agent's entry in the address book as it is now; what it has bound does not change."""
        found = self.resolver.book.agents.get(self.name) if self.resolver else None
        return found or self.address

    @property
    def topics_endpoint(self) -> str | None:
        """The endpoint of the agent's publications, None without a fleet."""
        path = self.resolver and socket_path(self.resolver.book.runtime, self.name, topics=True)
        return f"ipc://{path}" if path else None

    @property
    def remote_topics_endpoint(self) -> str | None:
        """The endpoint of the agent's publications for other machines, None if there are none."""
        book = self.resolver and self.resolver.book
        if book and any(entry.machine not in book.machines for entry in book.agents.values()):
            return f"tcp://{self.address.bind}:*"
        return None

    def remote_agents(self) -> list[str]:
        """Return the agents of other machines that can be asked for their topics."""
        if not self.resolver:
            return []
        book = self.resolver.book
        return [n for n, e in book.agents.items() if e.machine not in book.machines and e.port is not None]

    def local_topics_endpoints(self) -> list[str]:
        """Return the endpoints of all agents' topics on this machine."""
        if not self.resolver:
            return []
        book = self.resolver.book
        here = (name for name, entry in book.agents.items() if entry.machine in book.machines)
        return [f"ipc://{p}" for name in here if (p := socket_path(book.runtime, name, topics=True))]


def read_settings(
    default_name: str, environ: Mapping[str, str] = os.environ, port: int | None = None
) -> Settings:
    """Return the settings in the environment.

    port: from the command line; wins over the address book and ARGOSY_PORT.
    Raises InputError: a variable is not a number, or the address book has no such agent.
    """
    name = environ.get("ARGOSY_AGENT") or default_name
    path = environ.get("ARGOSY_BOOK")
    resolver = AddressResolver(path) if path else None
    address = resolver.address(name) if resolver else LOOPBACK_ADDRESS
    port_override = port if port is not None else _read_int(environ, "ARGOSY_PORT")
    if port_override is not None:
        address = msgspec.structs.replace(address, port=port_override)
    return Settings(
        name,
        environ.get("ARGOSY_FLEET", ""),
        environ.get("ENV_TYPE") or "development",
        address,
        resolver,
        environ.get("NOTIFY_SOCKET", ""),
        read_watchdog_s(environ),
    )


def read_watchdog_s(environ: Mapping[str, str] = os.environ) -> float:
    """Return the watchdog's interval in seconds, 0 for none.

    Raises InputError: the variable is not a number.
    """
    return (_read_int(environ, "WATCHDOG_USEC") or 0) / 1e6


def _read_int(environ: Mapping[str, str], key: str) -> int | None:
    text = environ.get(key)
    if not text:
        return None
    if not text.isdecimal():
        raise InputError(Fault(key, "not-a-number", f"`{key}` is `{text}`, expected a whole number"))
    return int(text)
