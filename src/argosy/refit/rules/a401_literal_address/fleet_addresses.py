"""Finds the names that a fleet file has for literal addresses, and the environments that define them."""

from __future__ import annotations

import msgspec

from argosy.fleet import Fleet
from argosy.fleet.hosts import parse_address, referenced_variable
from argosy.refit.analysis.addresses.name_semantics import host_variable_names, normalize_name
from argosy.refit.rewrite.tree_index import TreeIndex
from argosy.refit.rules.a401_literal_address.expression_evaluator import AddressProfile


class FleetAddress(msgspec.Struct, frozen=True):
    """The name of an address in the fleet file. environment: one where the name has exactly this address."""

    name: str
    environment: AddressProfile


class FleetAddresses:
    """Looks up literal addresses in the environments of a fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        # By environment and name: the host and port written there.
        self._literals: dict[str, dict[str, tuple[str, int | None]]] = {}
        for environment, addresses in fleet.environments.items():
            literals = self._literals.setdefault(environment, {})
            for name, text in addresses.items():
                address = parse_address(text)
                if address is not None and referenced_variable(address.host) is None:
                    literals[name] = (address.host, int(address.port) if address.port.isdigit() else None)

    def find_host(self, literal: str, variable: str = "") -> FleetAddress | str:
        """Return the name of a host, or the reason why there is none.

        variable: the variable that the address is a fallback of; it decides between several names. An address
        of this machine is named only by its variable, since it does not tell which machine is meant.
        """
        names = self._names(literal)
        by_variable = [name for name in names if variable and _is_variable_for(variable, name)]
        machines = [name for name in names if name in self.fleet.machines]
        is_here = literal == "localhost" or literal.startswith("127.") or literal == "::1"
        for found in (by_variable,) if is_here else (by_variable, machines, names):
            if len(found) == 1:
                return FleetAddress(found[0], self._environment_of(found[0], literal))
        if is_here:
            return f"`{literal}` is this machine, and the source does not tell whether that is intended"
        if names:
            return f"`{literal}` is {' and '.join(f'`{name}`' for name in sorted(names))} in the fleet file"
        by_variable = [name for name in self._all_names() if variable and _is_variable_for(variable, name)]
        hint = f": add `{by_variable[0]}: {literal}` to one" if len(by_variable) == 1 else ""
        return f"no environment of the fleet file has `{literal}`{hint}"

    def find_endpoint(self, literal: str, port: int) -> FleetAddress | str:
        """Return the one agent or service at a host and port, or the reason why there is none."""
        names = self._names(literal)
        agents = [
            spec.name for spec in self.fleet.agents.values() if spec.machine in names and spec.port == port
        ]
        services = [
            name
            for name in names
            if any(addresses.get(name) == (literal, port) for addresses in self._literals.values())
        ]
        found = [*agents, *services]
        if len(found) == 1:
            owner = self.fleet.agents[found[0]].machine if agents else found[0]
            assert owner is not None
            return FleetAddress(found[0], self._environment_of(owner, literal))
        if found:
            return f"`{literal}:{port}` is {' and '.join(f'`{name}`' for name in found)} in the fleet file"
        return f"nothing in the fleet file is at `{literal}:{port}`"

    def _names(self, literal: str) -> list[str]:
        """Return the machines and services that any environment has at an address, each once."""
        names = [
            name
            for addresses in self._literals.values()
            for name, (host, _) in addresses.items()
            if host == literal
        ]
        return list(dict.fromkeys(names))

    def _all_names(self) -> list[str]:
        return list(
            dict.fromkeys(name for addresses in self.fleet.environments.values() for name in addresses)
        )

    def _environment_of(self, name: str, literal: str) -> AddressProfile:
        """Return the first environment that has an address under a name."""
        literals = next(
            addresses for addresses in self._literals.values() if addresses.get(name, ("",))[0] == literal
        )
        hosts = {each: host for each, (host, _) in literals.items()}
        endpoints = {
            each: f"tcp://{host}:{port}" for each, (host, port) in literals.items() if port is not None
        }
        for spec in self.fleet.agents.values():
            if spec.machine in literals:
                hosts[spec.name] = literals[spec.machine][0]
                if spec.port is not None:
                    endpoints[spec.name] = f"tcp://{hosts[spec.name]}:{spec.port}"
        return AddressProfile(hosts, endpoints)


def fleet_addresses(index: TreeIndex) -> FleetAddresses | None:
    """Return the addresses of a tree's fleet; None without a fleet file."""
    return FleetAddresses(index.fleet) if index.fleet is not None else None


def _is_variable_for(variable: str, name: str) -> bool:
    """Return whether a variable such as MAIN_PC_IP is about `mainpc`."""
    return normalize_name(variable) in (normalize_name(name), *host_variable_names(name))
