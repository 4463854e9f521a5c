"""Derives the addresses of machines and services in the four standard environments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from argosy.fault import Fault, InputError
from argosy.fleet.hosts import (
    LOOPBACK,
    HostPort,
    is_loopback,
    is_wildcard,
    parse_address,
    referenced_variable,
)
from argosy.fleet.importers.deduplication import PlacedAgent, make_unique, to_fleet_name, to_variable_name
from argosy.fleet.importers.import_model import ExternalService, ImportDecision
from argosy.fleet.quantities import format_names


def resolve_addresses(
    machines: Sequence[str],
    agents: Sequence[PlacedAgent],
    services: Sequence[ExternalService],
    where: str,
    overrides: Mapping[str, str],
) -> tuple[dict[str, dict[str, str]], list[ImportDecision]]:
    """Return the addresses of machines and services by environment, and the decisions made.

    An unknown address is never guessed.

    where: the location of decisions about the whole fleet.
    overrides: addresses in `development` given by the user; a name that is not a machine is a service.

    Raises InputError: an address is invalid, or that of a machine has a port.
    """
    parsed_overrides = {
        name: _parse_override(name, text, is_machine=name in machines) for name, text in overrides.items()
    }
    named_services = _apply_overrides(
        _unique_services(machines, services), parsed_overrides.keys() - set(machines), parsed_overrides, where
    )
    known_hosts = {
        machine: parsed_overrides[machine].host
        if machine in parsed_overrides
        else _common_host(agents, machine)
        for machine in machines
    }
    development = {machine: known_hosts[machine] or LOOPBACK for machine in machines}
    environments = {
        "development": {
            **development,
            **_addresses_by_name(
                named_services,
                lambda name: parsed_overrides[name].host if name in parsed_overrides else LOOPBACK,
            ),
        },
        "production": {
            **{machine: f"${to_variable_name(machine)}_IP" for machine in machines},
            **_addresses_by_name(named_services, lambda name: f"${to_variable_name(name)}_HOST"),
        },
        "container": {
            **{one: _as_host_name(one) for one in machines},
            **_addresses_by_name(named_services, _as_host_name),
        },
        "testing": {
            **dict.fromkeys(machines, LOOPBACK),
            **_addresses_by_name(named_services, lambda _: LOOPBACK),
        },
    }
    reported = {machine: host for machine, host in known_hosts.items() if host}
    reported |= {name: text for name, text in overrides.items() if name in named_services}
    decisions = [
        *_environment_decisions(environments, reported, where),
        *_ignored_host_decisions(agents, known_hosts),
    ]
    return environments, decisions


def _apply_overrides(
    services: Mapping[str, ExternalService],
    names: Iterable[str],
    overrides: Mapping[str, HostPort],
    where: str,
) -> dict[str, ExternalService]:
    """Return the services with those that only the user named, and with the ports the user gave."""
    found = dict(services)
    for name in sorted(names):
        service = found.get(name, ExternalService(name, where))
        port = overrides[name].port
        found[name] = msgspec.structs.replace(service, port=int(port)) if port else service
    return found


def _parse_override(name: str, text: str, *, is_machine: bool) -> HostPort:
    address = parse_address(text)
    if address is None or is_wildcard(address.host) or (address.port and not address.port.isdigit()):
        message, hint = f"`{text}` is not an address that a peer can connect to", "such as `10.0.0.2`"
    elif is_machine and address.port:
        message, hint = f"`{name}` is a machine, and `{text}` has a port", "remove the port"
    else:
        return address
    raise InputError(Fault("--address", "usage", message, hint))


def _unique_services(
    machines: Sequence[str], services: Sequence[ExternalService]
) -> dict[str, ExternalService]:
    """Return the services by unique name; no service has the name of a machine."""
    named: dict[str, ExternalService] = {}
    for service in {one.name: one for one in services}.values():
        named[make_unique(to_fleet_name(service.name), {*machines, *named})] = service
    return named


def _addresses_by_name(named: Mapping[str, ExternalService], host: Callable[[str], str]) -> dict[str, str]:
    return {
        name: host(name) if service.port is None else f"{host(name)}:{service.port}"
        for name, service in named.items()
    }


def _as_host_name(name: str) -> str:
    """Return a name as a host name, which must end in a letter, digit or `_`."""
    return name.rstrip("-.")


def _common_host(agents: Sequence[PlacedAgent], machine: str) -> str | None:
    """Return the address that all agents of a machine agree on, if any."""
    hosts = {
        agent.imported.host
        for agent in agents
        if agent.machine == machine and _is_peer_address(agent.imported.host)
    }
    return hosts.pop() if len(hosts) == 1 else None


def _is_peer_address(host: str | None) -> bool:
    if host is None or is_wildcard(host) or is_loopback(host):
        return False
    address = parse_address(host)
    return address is not None and not address.port and referenced_variable(address.host) is None


def _environment_decisions(
    environments: Mapping[str, Mapping[str, str]], known: Mapping[str, str], where: str
) -> Iterator[ImportDecision]:
    rest = "the others are on" if known else "every machine and service is"
    what = "".join(f"`{name}` is {address}, " for name, address in known.items())
    what += f"{rest} this host (127.0.0.1)"
    yield ImportDecision(where, f"in `development` {what}", "unknown addresses are not guessed")
    variables = format_names(text.partition(":")[0] for text in environments["production"].values())
    yield ImportDecision(
        where, f"in `production` addresses come from {variables}", "set them, or write the addresses"
    )
    why = "as container networks resolve them"
    yield ImportDecision(where, "in `container` addresses are the names of machines and services", why)
    yield ImportDecision(
        where, "in `testing` every machine and service is this host (127.0.0.1)", "tests need no other host"
    )


def _ignored_host_decisions(
    agents: Sequence[PlacedAgent], known_hosts: Mapping[str, str | None]
) -> Iterator[ImportDecision]:
    """Yield one decision for each `host` that is not used as an address."""
    users: dict[tuple[str, str], list[PlacedAgent]] = {}
    for agent in agents:
        host = agent.imported.host
        if host is not None and host != known_hosts[agent.machine]:
            users.setdefault((agent.machine, host), []).append(agent)
    for (machine, host), agents_with_host in users.items():
        first, *others = agents_with_host
        count = f"{len(agents_with_host)} agents" if others else f"`{first.name}`"
        why = "it is an interface to listen on, which no peer can connect to"
        if _is_peer_address(host):
            why = f"the agents of `{machine}` have several; a machine has one address"
        elif not is_wildcard(host):
            why = "an agent's address is that of its machine in the environment"
        what = f"`host: {host}` of {count} on `{machine}` is not imported"
        yield ImportDecision(first.imported.where, what, why)
