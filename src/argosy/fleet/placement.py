"""A fleet placed in one environment: machines, endpoints, interfaces, and the source of each."""

from __future__ import annotations

import msgspec

from argosy.fault import Fault, InputError
from argosy.fleet import hosts
from argosy.fleet.address_lookup import AddressLookup, AddressPart, variable_names
from argosy.fleet.fleet_spec import AgentSpec
from argosy.fleet.suggestions import unknown_name


class Endpoint(msgspec.Struct, frozen=True):
    """A peer that can be connected to."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """`tcp://host:port`, with IPv6 hosts in brackets."""
        return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"


class Placement(msgspec.Struct, frozen=True):
    """The addresses of a fleet in one environment; created and checked by `place`.

    `endpoint_of` returns where to connect, `bind_address_of` the interface to bind. Only the second
    may be a wildcard.
    """

    lookup: AddressLookup

    @property
    def environment(self) -> str:
        """The name of the environment."""
        return self.lookup.environment

    def machine_of(self, agent: str) -> str | None:
        """Return the machine of an agent; None in a fleet without machines.

        Raises InputError: no such agent.
        """
        return self._spec(agent).machine

    def machines(self) -> tuple[str, ...]:
        """Return the machines that have agents, in file order."""
        fleet = self.lookup.fleet
        used = {spec.machine for spec in fleet.agents.values()}
        return tuple(name for name in fleet.machines if name in used)

    def host_of_machine(self, machine: str) -> str:
        """Return the host of a machine.

        Raises InputError: no such machine, or no address of it.
        """
        return self.lookup.host_of_machine(machine).value

    def endpoint_of(self, agent: str, machine: str | None = None) -> Endpoint:
        """Return the endpoint where a peer connects to an agent.

        machine: the peer's machine, if known; a loopback address of another machine is then refused.
        Raises InputError: no such agent, no port, or an address that no peer can use.
        """
        spec = self._spec(agent)
        host, port = self.lookup.host_of_agent(spec), self.lookup.port_of_agent(spec)
        if port is None:
            message = f"`{spec.name}` has no port, so no peer can connect to it"
            hint = f"add `port:` to it, or set {variable_names(spec.name, 'PORT')[0]}"
            raise InputError(Fault(spec.where, "no-port", message, hint))
        self._check_reachable(spec, host, machine)
        return Endpoint(host.value, int(port.value))

    def bind_address_of(self, agent: str) -> str:
        """Return the interface that an agent binds: its own address if that is an IP address.

        A host name may resolve to an address that its machine does not have (a container's, one
        behind a NAT), so an agent with a host name binds 0.0.0.0. `<AGENT>_BIND` overrides.

        Raises InputError: no such agent, or it has no address.
        """
        return self.lookup.interface_of_agent(self._spec(agent)).value

    def explain_endpoint(self, agent: str, machine: str | None = None) -> tuple[AddressPart, ...]:
        """Return the source of each part: the agent's machine, host, port and interface.

        Raises InputError: as `endpoint_of`.
        """
        self.endpoint_of(agent, machine)
        spec, lookup = self._spec(agent), self.lookup
        parts = (
            lookup.machine_of(spec),
            lookup.host_of_agent(spec),
            lookup.port_of_agent(spec),
            lookup.interface_of_agent(spec),
        )
        return tuple(part for part in parts if part is not None)

    def endpoint_of_service(self, name: str, port: int | None = None) -> Endpoint:
        """Return the endpoint of a service of the environment.

        port: the default port of the service, used if neither the file nor `<SERVICE>_PORT` names one.
        Raises InputError: no such service in this environment, an unset variable, or no port.
        """
        host, found = self.lookup.address_of_service(name)
        number = int(found.value) if found is not None else port
        if number is None:
            variable = variable_names(name, "PORT")[0]
            message = f"`{name}` is at {host.value} in `{self.environment}`, without a port"
            hint = f"write `{name}: {host.value}:PORT`, or set {variable}"
            raise InputError(Fault(host.where, "no-port", message, hint))
        return Endpoint(host.value, number)

    def explain_service(self, name: str) -> tuple[AddressPart, ...]:
        """Return the sources of the host and the port of a service.

        Raises InputError: no such service in this environment, or an unset variable.
        """
        return tuple(part for part in self.lookup.address_of_service(name) if part is not None)

    def _spec(self, agent: str) -> AgentSpec:
        agents = self.lookup.fleet.agents
        if agent not in agents:
            raise InputError(unknown_name(agent, "agent", agent, agents))
        return agents[agent]

    def _check_reachable(self, spec: AgentSpec, host: AddressPart, machine: str | None) -> None:
        is_remote = machine is not None and machine != spec.machine
        if not is_remote or not hosts.is_loopback(host.value) or self.is_single_host():
            return
        found = f"which from `{machine}` is `{machine}` itself"
        message = f"`{spec.name}` is on `{spec.machine}` at {host.value}, {found}"
        hint = f"give `{spec.machine}` an address in `{self.environment}` that `{machine}` can reach"
        raise InputError(Fault(host.where, "loopback-peer", message, hint))

    def is_single_host(self) -> bool:
        """Return whether all machines of the fleet are this host: every address is loopback."""
        return all(hosts.is_loopback(self.host_of_machine(name)) for name in self.machines())
