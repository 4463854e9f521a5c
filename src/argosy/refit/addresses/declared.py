"""What a fleet file says of ports and hosts, by the names that code and variables have for them."""

from __future__ import annotations

import re
from typing import NamedTuple

from argosy.fleet.hosts import is_ip, is_loopback, parse_address, variable_of
from argosy.fleet.spec import Fleet

_SPELLING = re.compile(r"[^a-z0-9]+")


class Declared(NamedTuple):
    """What is right for a name. owner: the agent, machine or service. where: the place in the fleet file."""

    owner: str
    values: frozenset[int | str]
    where: str


class Book:
    """Looks up names as `SYSTEM_DIGITAL_TWIN_PORT`, `redisHost` or `SystemDigitalTwin` in a fleet file.

    A name that two of them have is nobody's.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._ports: dict[str, list[Declared]] = {}
        self._hosts: dict[str, list[Declared]] = {}
        hosts = self._enter_addresses()
        for agent in fleet.agents.values():
            place = fleet.places.get(f"agents.{agent.name}.port", agent.where)
            spelt = _spelt(agent.name)
            if agent.port is not None:
                found = Declared(agent.name, frozenset([agent.port]), place)
                self._enter(self._ports, (spelt, f"{spelt}port"), found)
            if agent.health_port is not None:
                found = Declared(agent.name, frozenset([agent.health_port]), place)
                self._enter(self._ports, (f"{spelt}healthport", f"{spelt}healthcheckport"), found)
            if agent.machine in hosts:
                self._enter(self._hosts, _host_names(spelt), hosts[agent.machine]._replace(owner=agent.name))

    def find(self, name: str, value: int | str) -> Declared | None:
        """Return what the fleet file has for a name, None when it has nothing or more than one answer."""
        names = self._ports if isinstance(value, int) else self._hosts
        found = names.get(_spelt(name), [])
        return found[0] if len({item.values for item in found}) == 1 else None

    def _enter_addresses(self) -> dict[str | None, Declared]:
        """Enter machines and services; return them by name."""
        hosts: dict[str, set[int | str]] = {}
        ports: dict[str, set[int | str]] = {}
        variables: dict[str, str] = {}
        places: dict[str, str] = {}
        for environment, addresses in self._fleet.environments.items():
            for name, text in addresses.items():
                address = parse_address(text)
                if address is None:
                    continue
                place = self._fleet.places.get(f"environments.{environment}.{name}", self._fleet.path)
                places.setdefault(name, place)
                variable = variable_of(address.host)
                if variable is None:
                    hosts.setdefault(name, set()).add(address.host)
                else:
                    variables[variable] = name
                if address.port.isdigit():
                    ports.setdefault(name, set()).add(int(address.port))
        # Where only loopback and names are declared, nobody has said yet where the machine is.
        hosts = {name: values for name, values in hosts.items() if any(map(_is_real, values))}
        made: dict[str | None, Declared] = {
            name: Declared(name, frozenset(values), places[name]) for name, values in hosts.items()
        }
        for name, values in hosts.items():
            self._enter(
                self._hosts, _host_names(_spelt(name)), Declared(name, frozenset(values), places[name])
            )
        for variable, name in variables.items():
            if name in made:
                self._enter(self._hosts, (_spelt(variable),), made[name])
        for name, values in ports.items():
            found = Declared(name, frozenset(values), places[name])
            self._enter(self._ports, (f"{_spelt(name)}port",), found)
        return made

    @staticmethod
    def _enter(book: dict[str, list[Declared]], names: tuple[str, ...], found: Declared) -> None:
        for name in names:
            book.setdefault(name, []).append(found)


def _is_real(host: int | str) -> bool:
    return is_ip(str(host)) and not is_loopback(str(host))


def _spelt(name: str) -> str:
    return _SPELLING.sub("", name.lower())


def _host_names(spelt: str) -> tuple[str, ...]:
    return tuple(spelt + ending for ending in ("ip", "host", "hostname", "address", "addr"))
