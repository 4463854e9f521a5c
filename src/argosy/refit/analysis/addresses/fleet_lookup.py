"""Ports and hosts in a fleet file, found by the names that code and variables use for them."""

from __future__ import annotations

import re
from typing import NamedTuple

from argosy.fleet.fleet_spec import Fleet
from argosy.fleet.hosts import is_ip, is_loopback, parse_address, referenced_variable

_SEPARATORS = re.compile(r"[^a-z0-9]+")


class DeclaredValue(NamedTuple):
    """The declared value of a name.

    owner: the agent, machine or service. location: the place in the fleet file.
    """

    owner: str
    values: frozenset[int | str]
    location: str


class FleetAddressIndex:
    """Looks up names such as `SYSTEM_DIGITAL_TWIN_PORT`, `redisHost` or `SystemDigitalTwin` in a fleet file.

    A name that two owners share is ambiguous and not found.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._ports: dict[str, list[DeclaredValue]] = {}
        self._hosts: dict[str, list[DeclaredValue]] = {}
        hosts = self._add_environments()
        for agent in fleet.agents.values():
            location = fleet.locations.get(f"agents.{agent.name}.port", agent.where)
            normalized = _normalize_name(agent.name)
            if agent.port is not None:
                found = DeclaredValue(agent.name, frozenset([agent.port]), location)
                self._add(self._ports, (normalized, f"{normalized}port"), found)
            if agent.health_port is not None:
                found = DeclaredValue(agent.name, frozenset([agent.health_port]), location)
                self._add(self._ports, (f"{normalized}healthport", f"{normalized}healthcheckport"), found)
            if agent.machine in hosts:
                self._add(
                    self._hosts, _host_names(normalized), hosts[agent.machine]._replace(owner=agent.name)
                )

    def find(self, name: str, value: int | str) -> DeclaredValue | None:
        """Return what the fleet file declares for a name, None for nothing or for more than one answer."""
        names = self._ports if isinstance(value, int) else self._hosts
        found = names.get(_normalize_name(name), [])
        return found[0] if len({item.values for item in found}) == 1 else None

    def _add_environments(self) -> dict[str | None, DeclaredValue]:
        """Index machines and services; return them by name."""
        hosts: dict[str, set[int | str]] = {}
        ports: dict[str, set[int | str]] = {}
        variables: dict[str, str] = {}
        locations: dict[str, str] = {}
        for environment, addresses in self._fleet.environments.items():
            for name, text in addresses.items():
                address = parse_address(text)
                if address is None:
                    continue
                location = self._fleet.locations.get(f"environments.{environment}.{name}", self._fleet.path)
                locations.setdefault(name, location)
                variable = referenced_variable(address.host)
                if variable is None:
                    hosts.setdefault(name, set()).add(address.host)
                else:
                    variables[variable] = name
                if address.port.isdigit():
                    ports.setdefault(name, set()).add(int(address.port))
        # If only loopback and names are declared, the machine's address is not known yet.
        hosts = {name: values for name, values in hosts.items() if any(map(_is_machine_address, values))}
        host_values: dict[str | None, DeclaredValue] = {
            name: DeclaredValue(name, frozenset(values), locations[name]) for name, values in hosts.items()
        }
        for name, values in hosts.items():
            self._add(
                self._hosts,
                _host_names(_normalize_name(name)),
                DeclaredValue(name, frozenset(values), locations[name]),
            )
        for variable, name in variables.items():
            if name in host_values:
                self._add(self._hosts, (_normalize_name(variable),), host_values[name])
        for name, values in ports.items():
            found = DeclaredValue(name, frozenset(values), locations[name])
            self._add(self._ports, (f"{_normalize_name(name)}port",), found)
        return host_values

    @staticmethod
    def _add(index: dict[str, list[DeclaredValue]], names: tuple[str, ...], found: DeclaredValue) -> None:
        for name in names:
            index.setdefault(name, []).append(found)


def _is_machine_address(host: int | str) -> bool:
    return is_ip(str(host)) and not is_loopback(str(host))


def _normalize_name(name: str) -> str:
    return _SEPARATORS.sub("", name.lower())


def _host_names(normalized: str) -> tuple[str, ...]:
    return tuple(normalized + ending for ending in ("ip", "host", "hostname", "address", "addr"))
