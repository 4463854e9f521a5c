"""Finds the parts of an address and the source of each part.

Precedence, for a host and for a port: the variable of that agent or service, then the fleet file's
entry in the environment (its own `$VARIABLE` expanded), then loopback where the file is unambiguous.
"""

from __future__ import annotations

import functools
import re

import msgspec

from argosy.fault import Fault, InputError
from argosy.fleet import hosts
from argosy.fleet.fleet_spec import AgentSpec, Fleet
from argosy.fleet.quantities import format_names
from argosy.fleet.suggestions import suggest, unknown_name

# Without `environments`, a fleet of several machines is on this host in these, and has no address elsewhere.
SINGLE_HOST_ENVIRONMENTS = ("development", "testing")


class AddressPart(msgspec.Struct, frozen=True):
    """Where one part of an address came from.

    part: environment, machine, host, port or interface.
    source: file, variable, option or default.
    where: the `file:line:column`, the variable's name, or empty.
    text: the same as a sentence.
    """

    part: str
    value: str
    source: str
    where: str
    text: str


@functools.cache
def variable_names(name: str, suffix: str) -> tuple[str, ...]:
    """Return the variables that override a part of an agent's or service's address; the first one set wins.

    `SystemDigitalTwin` and HOST give SYSTEM_DIGITAL_TWIN_HOST and SYSTEMDIGITALTWIN_HOST.
    """
    snake_name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    forms = (re.sub(r"[^A-Za-z0-9]+", "_", form).upper() for form in (snake_name, name))
    return tuple(dict.fromkeys(f"{form}_{suffix}" for form in forms))


class AddressLookup(msgspec.Struct, frozen=True):
    """The sources of addresses: a fleet, the name of an environment, the process's variables.

    machine_hosts: a cache of the hosts of machines, because all agents of a machine share one.
    """

    fleet: Fleet
    environment: str
    variables: dict[str, str]
    machine_hosts: dict[str, AddressPart] = {}

    def machine_of(self, spec: AgentSpec) -> AddressPart | None:
        """Return an agent's machine and where the file names it; None without machines."""
        if spec.machine is None:
            return None
        paths = (f"agents.{spec.name}.machine", "defaults.machine", f"machines.{spec.machine}")
        where = next(self.fleet.locations[path] for path in paths if path in self.fleet.locations)
        text = f"`{spec.name}` is on `{spec.machine}` ({where})"
        return AddressPart("machine", spec.machine, "file", where, text)

    def host_of_agent(self, spec: AgentSpec) -> AddressPart:
        """Return the host of an agent.

        Raises InputError: no address, an unset variable, or a value that no peer can connect to.
        """
        override = self._from_variable(spec.name, "host", "HOST")
        if override is not None:
            return _validate_host(override, spec.name)
        if spec.machine is None:
            return _loopback_host(f"the fleet names no machine for `{spec.name}`")
        return self.host_of_machine(spec.machine)

    def port_of_agent(self, spec: AgentSpec) -> AddressPart | None:
        """Return the port of an agent, or None when it has none.

        Raises InputError: `<AGENT>_PORT` is not a port.
        """
        override = self._from_variable(spec.name, "port", "PORT")
        if override is not None:
            return _validate_port(override)
        if spec.port is None:
            return None
        locations = self.fleet.locations
        where = locations.get(f"agents.{spec.name}.port") or locations.get("defaults.port", spec.where)
        return AddressPart("port", str(spec.port), "file", where, f"its port is {spec.port} ({where})")

    def interface_of_agent(self, spec: AgentSpec) -> AddressPart:
        """Return the interface that an agent binds.

        Raises InputError: as `host_of_agent`.
        """
        override = self._from_variable(spec.name, "interface", "BIND")
        if override is not None:
            return override
        host = self.host_of_agent(spec)
        if hosts.is_ip(host.value):
            return AddressPart("interface", host.value, host.source, host.where, "it binds only that address")
        if hosts.is_loopback(host.value):
            return AddressPart("interface", hosts.LOOPBACK, host.source, host.where, "it binds only loopback")
        text = f"`{host.value}` is a host name, so it binds every interface"
        return AddressPart("interface", hosts.WILDCARD, "default", "", text)

    def host_of_machine(self, machine: str) -> AddressPart:
        """Return the host of a machine.

        Raises InputError: no such machine, no address, an unset variable, or a value that no peer can
        connect to.
        """
        if machine not in self.machine_hosts:
            self.machine_hosts[machine] = self._find_host(machine)
        return self.machine_hosts[machine]

    def _find_host(self, machine: str) -> AddressPart:
        fleet, environment = self.fleet, self.environment
        if machine not in fleet.machines:
            raise InputError(unknown_name(machine, "machine", machine, fleet.machines))
        if not fleet.environments:
            if len(fleet.machines) > 1 and environment not in SINGLE_HOST_ENVIRONMENTS:
                raise InputError(_missing_environments_fault(fleet, environment))
            return _loopback_host("the file has no `environments`")
        addresses = fleet.environments[environment]
        if machine not in addresses:
            raise InputError(_missing_address_fault(fleet, environment, machine))
        host, port = self._from_entry(machine, addresses[machine])
        if port is not None:
            message = f"${port.where} is `{host.value}:{port.value}`, and a machine's address has no port"
            raise InputError(Fault(port.where, "address", message, f"`export {port.where}={host.value}`"))
        return host

    def address_of_service(self, name: str) -> tuple[AddressPart, AddressPart | None]:
        """Return the host of a service and its port, if one is named.

        Raises InputError: no such service in this environment, an unset variable, or a value that no peer
        can connect to.
        """
        host = self._from_variable(name, "host", "HOST")
        port = self._from_variable(name, "port", "PORT")
        addresses = self.fleet.environments.get(self.environment, {})
        if host is None:
            if name not in addresses:
                raise InputError(_unknown_service_fault(name, self.environment, list(addresses)))
            host, written_port = self._from_entry(name, addresses[name])
            port = port or written_port
        elif name in addresses and port is None:
            # A host from a variable is combined with the file's port, unless that port is a variable too.
            written = hosts.parse_address(addresses[name])
            if written is not None and written.port and hosts.referenced_variable(written.port) is None:
                port = self._from_file("port", written.port, name)
        return _validate_host(host, name), _validate_port(port) if port is not None else None

    def _from_variable(self, name: str, part: str, suffix: str) -> AddressPart | None:
        for variable in variable_names(name, suffix):
            if value := self.variables.get(variable):
                return AddressPart(part, value, "variable", variable, f"${variable} is {value}")
        return None

    def _from_entry(self, name: str, text: str) -> tuple[AddressPart, AddressPart | None]:
        """Return host and port of the environment's entry `name`; one variable may hold both."""
        written = hosts.parse_address(text) or hosts.HostPort(text)
        host, port = self._resolve_part("host", written.host, name), None
        if host.source == "variable" and not written.port:
            held = hosts.parse_address(host.value)
            if held is not None and held.port:
                port = AddressPart("port", held.port, "variable", host.where, host.text)
                host = msgspec.structs.replace(host, value=held.host)
        if written.port:
            port = self._resolve_part("port", written.port, name)
        return _validate_host(host, name), _validate_port(port) if port is not None else None

    def _resolve_part(self, part: str, raw: str, name: str) -> AddressPart:
        """Return one part of an entry, with its variable expanded."""
        variable = hosts.referenced_variable(raw)
        if variable is None:
            return self._from_file(part, raw, name)
        where = self._entry_location(name)
        value = self.variables.get(variable)
        if value:
            text = f"`{name}` in `{self.environment}` is ${variable} ({where}), which is {value}"
            return AddressPart(part, value, "variable", variable, text)
        state = "not set" if value is None else "empty"
        message = f"`${variable}` is {state}, but it provides the address of `{name}` in `{self.environment}`"
        hint = f"`export {variable}=ADDRESS`, or choose another environment with ENV_TYPE or --env"
        raise InputError(Fault(where, "unset-variable", message, hint))

    def _from_file(self, part: str, value: str, name: str) -> AddressPart:
        where = self._entry_location(name)
        text = f"`{name}` in `{self.environment}` has {part} {value} ({where})"
        return AddressPart(part, value, "file", where, text)

    def _entry_location(self, name: str) -> str:
        return self.fleet.locations.get(f"environments.{self.environment}.{name}", self.fleet.path)


def _loopback_host(reason: str) -> AddressPart:
    return AddressPart("host", hosts.LOOPBACK, "default", "", f"{reason}: this host, {hosts.LOOPBACK}")


def _validate_host(host: AddressPart, name: str) -> AddressPart:
    """Return `host` if a peer can connect to it; the loader has checked all but the values of variables."""
    if hosts.is_wildcard(host.value):
        message = f"{_describe_part(host)} is `{host.value}`, a wildcard: no peer can reach `{name}` there"
    else:
        plain = host.value.strip("[]")
        if hosts.parse_address(host.value) in (hosts.HostPort(host.value), hosts.HostPort(plain)):
            return msgspec.structs.replace(host, value=plain)
        message = f"{_describe_part(host)} is `{host.value}`, expected a host name or an IP address"
    hint = "such as `192.168.1.10`; `<AGENT>_BIND` chooses the interface to bind"
    raise InputError(Fault(host.where, "address", message, hint))


def _validate_port(port: AddressPart) -> AddressPart:
    number = hosts.parse_port(port.value)
    if number is None:
        message = f"{_describe_part(port)} is `{port.value}`, expected a port from 1 to 65535"
        raise InputError(Fault(port.where, "address", message))
    return msgspec.structs.replace(port, value=str(number))


def _describe_part(part: AddressPart) -> str:
    return f"`${part.where}`" if part.source == "variable" else f"the {part.part}"


def _missing_environments_fault(fleet: Fleet, environment: str) -> Fault:
    listed = ", ".join(f"{name}: ADDRESS" for name in fleet.machines)
    return Fault(
        fleet.locations.get("machines", fleet.path),
        "no-address",
        f"the fleet has {len(fleet.machines)} machines and no `environments`: their addresses in "
        f"`{environment}` are unknown",
        f"add `environments: {{{environment}: {{{listed}}}}}`",
    )


def _missing_address_fault(fleet: Fleet, environment: str, machine: str) -> Fault:
    where = fleet.locations.get(f"environments.{environment}", fleet.path)
    found = format_names(fleet.environments[environment]) or "nothing"
    message = f"`{environment}` has no address for machine `{machine}`, only for {found}"
    return Fault(where, "no-address", message, f"add `{machine}: ADDRESS` there")


def _unknown_service_fault(name: str, environment: str, known: list[str]) -> Fault:
    variable = variable_names(name, "HOST")[0]
    message = f"`{environment}` has no entry `{name}`, and `${variable}` is not set"
    return Fault(name, "unknown-service", message, suggest(name, known, "addresses"))
