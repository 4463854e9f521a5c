"""Places a fleet in an environment, and finds which of its machines this host is.

An environment is chosen by name and never guessed. A fleet without `environments` has the four
standard names; its agents are then on this host, at 127.0.0.1. With two or more machines that
applies in development and testing only: elsewhere it would hide the missing addresses.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from argosy.fault import Fault, InputError
from argosy.fleet import hosts
from argosy.fleet.address_lookup import AddressLookup, AddressPart
from argosy.fleet.fleet_spec import Fleet
from argosy.fleet.placement import Endpoint, Placement
from argosy.fleet.quantities import format_names
from argosy.fleet.suggestions import closest_match, unknown_name

__all__ = ["AddressPart", "Endpoint", "Placement", "address", "environment_names", "local_machines", "place"]

STANDARD_ENVIRONMENTS = ("development", "production", "container", "testing")


def place(fleet: Fleet, environment: str, variables: Mapping[str, str]) -> Placement:
    """Return the fleet placed in `environment`.

    Resolves only the addresses in use: those of machines that have agents. A service is resolved
    when it is requested.

    variables: the process environment (`os.environ`), for `$VARIABLE` addresses and overrides.
    Raises InputError: an unknown environment; or every address that is missing, unset or unreachable
    for peers, and every port that two agents would share because their machines are one host here.
    """
    check_environment(fleet, environment)
    placement = Placement(AddressLookup(fleet, environment, dict(variables)))
    faults = _address_faults(placement) or _port_conflicts(placement)
    if faults:
        raise InputError(*faults)
    return placement


def environment_names(fleet: Fleet) -> tuple[str, ...]:
    """Return the environments that a fleet can be placed in."""
    return tuple(fleet.environments) or STANDARD_ENVIRONMENTS


def check_environment(fleet: Fleet, environment: str) -> None:
    """Raise InputError if the fleet has no such environment."""
    known = environment_names(fleet)
    if environment not in known:
        near = closest_match(environment, known)
        hint = f"did you mean `{near}`?" if near else "ENV_TYPE or --env chooses one of them"
        message = f"there is no environment `{environment}`; this fleet has {format_names(known)}"
        raise InputError(Fault("ENV_TYPE", "unknown-environment", message, hint))


def address(
    fleet: Fleet, name: str, environment: str | None = None, variables: Mapping[str, str] | None = None
) -> str:
    """Return the `tcp://host:port` of an agent, or of a service that the environment names.

    environment: defaults to ENV_TYPE in `variables`, else development.
    variables: defaults to `os.environ`.
    Raises InputError: as `place`; or the name is unknown or has no port.
    """
    found = os.environ if variables is None else variables
    placement = place(fleet, environment or found.get("ENV_TYPE") or "development", found)
    is_service = name not in fleet.agents and name in fleet.environments.get(placement.environment, {})
    return (placement.endpoint_of_service(name) if is_service else placement.endpoint_of(name)).url


def local_machines(
    placement: Placement,
    machine: str | None,
    variables: Mapping[str, str],
    is_local: Callable[[str], bool] | None = None,
) -> frozenset[str | None]:
    """Return the machines of the fleet that this host is; {None} in a fleet without machines.

    That is `machine` (`--machine`), else ARGOSY_MACHINE, else the machines whose address is local;
    if all addresses are loopback, all machines.

    is_local: whether a host is an address of this machine; by default tries to bind it.
    Raises InputError: an unknown machine was chosen, or no address is local.
    """
    name, option = (machine, "--machine") if machine else (variables.get("ARGOSY_MACHINE"), "ARGOSY_MACHINE")
    if name:
        machines = placement.lookup.fleet.machines
        if name not in machines:
            raise InputError(unknown_name(option, "machine", name, machines))
        return frozenset([name])
    machines_used = placement.machines()
    if not machines_used or placement.is_single_host():
        return frozenset(machines_used or [None])
    return _machines_with_local_address(placement, machines_used, is_local or hosts.is_local_host)


def _machines_with_local_address(
    placement: Placement, machines: tuple[str, ...], is_local: Callable[[str], bool]
) -> frozenset[str | None]:
    addresses = {name: placement.host_of_machine(name) for name in machines}
    # A loopback address is local everywhere, so it counts only if no routable address matches.
    for is_routable in (True, False):
        found = frozenset(
            name
            for name, host in addresses.items()
            if hosts.is_loopback(host) != is_routable and is_local(host)
        )
        if found:
            return found
    listed = ", ".join(f"`{name}` ({host})" for name, host in addresses.items())
    message = f"none of the fleet's machines in `{placement.environment}` is this one: {listed}"
    hint = f"choose one: `--machine {machines[0]}` or ARGOSY_MACHINE; `--env testing` may run all here"
    raise InputError(Fault("--machine", "no-machine-here", message, hint))


def _address_faults(placement: Placement) -> list[Fault]:
    """Return the faults of the agents' addresses, each once."""
    faults: dict[Fault, None] = {}
    for spec in placement.lookup.fleet.agents.values():
        for resolve in (placement.lookup.host_of_agent, placement.lookup.port_of_agent):
            try:
                resolve(spec)
            except InputError as error:
                faults.update(dict.fromkeys(error.faults))
    return list(faults)


def _port_conflicts(placement: Placement) -> list[Fault]:
    """Return the ports that agents of two machines share because the machines have one address here.

    The loader reports conflicts on one machine, but overrides may add new ones.
    """
    lookup, faults = placement.lookup, []
    claimed: dict[tuple[str, int], tuple[str, str]] = {}
    for spec in lookup.fleet.agents.values():
        host = lookup.host_of_agent(spec).value
        port = lookup.port_of_agent(spec)
        for key, number in (("port", int(port.value) if port else None), ("health_port", spec.health_port)):
            if number is None:
                continue
            holder, holder_key = claimed.setdefault((host, number), (spec.name, key))
            if holder != spec.name:
                where = lookup.fleet.locations.get(f"agents.{spec.name}.{key}", spec.where)
                message = (
                    f"in `{placement.environment}` `{spec.name}` and `{holder}` are both at {host}, and "
                    f"the `{key}` {number} of the one is the `{holder_key}` of the other"
                )
                faults.append(Fault(where, "port-used-twice", message, "give one of them another port"))
    return faults
