"""The four standard environments of an imported fleet: what each machine and service is called where."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from argosy.fault import Fault, InputError
from argosy.fleet.hosts import Address, is_loopback, is_wildcard, parse_address, variable_of
from argosy.fleet.importers.found import Decision, Service
from argosy.fleet.importers.joining import Placed
from argosy.fleet.importers.names import fleet_name, unlike, variable_name

_LOOPBACK = "127.0.0.1"


class Addresses(msgspec.Struct, frozen=True):
    """The addresses by environment, and the decisions that they took."""

    environments: dict[str, dict[str, str]]
    decisions: tuple[Decision, ...]


def settle_addresses(
    machines: Sequence[str],
    agents: Sequence[Placed],
    services: Sequence[Service],
    where: str,
    chosen: Mapping[str, str],
) -> Addresses:
    """Return the addresses of machines and services; one that nobody tells is never guessed.

    where: what to name as the place of what is decided for the whole fleet.
    chosen: addresses in `development`, told by hand; a name that is no machine's is a service's.

    Raises InputError: an address that is none, or that of a machine with a port.
    """
    by_hand = {name: _checked(name, text, is_machine=name in machines) for name, text in chosen.items()}
    named = _with_hands(_services(machines, services), by_hand.keys() - set(machines), by_hand, where)
    told = {
        machine: by_hand[machine].host if machine in by_hand else _told_host(agents, machine)
        for machine in machines
    }
    development = {machine: told[machine] or _LOOPBACK for machine in machines}
    environments = {
        "development": {
            **development,
            **_with_ports(named, lambda name: by_hand[name].host if name in by_hand else _LOOPBACK),
        },
        "production": {
            **{machine: f"${variable_name(machine)}_IP" for machine in machines},
            **_with_ports(named, lambda name: f"${variable_name(name)}_HOST"),
        },
        "container": {**{one: _host(one) for one in machines}, **_with_ports(named, _host)},
        "testing": {**dict.fromkeys(machines, _LOOPBACK), **_with_ports(named, lambda _: _LOOPBACK)},
    }
    known = {machine: host for machine, host in told.items() if host}
    known |= {name: text for name, text in chosen.items() if name in named}
    decisions = (*_tell(environments, known, where), *_tell_hosts(agents, told))
    return Addresses(environments, decisions)


def _with_hands(
    named: Mapping[str, Service], names: Iterable[str], by_hand: Mapping[str, Address], where: str
) -> dict[str, Service]:
    """Return the services with those that only a hand tells, and with the ports that one tells."""
    found = dict(named)
    for name in sorted(names):
        service = found.get(name, Service(name, where))
        port = by_hand[name].port
        found[name] = msgspec.structs.replace(service, port=int(port)) if port else service
    return found


def _checked(name: str, text: str, *, is_machine: bool) -> Address:
    address = parse_address(text)
    if address is None or is_wildcard(address.host) or (address.port and not address.port.isdigit()):
        message, hint = f"`{text}` is no address that a peer can connect to", "such as `10.0.0.2`"
    elif is_machine and address.port:
        message, hint = f"`{name}` is a machine, and `{text}` has a port", "leave the port out"
    else:
        return address
    raise InputError(Fault("--address", "usage", message, hint))


def _services(machines: Sequence[str], services: Sequence[Service]) -> dict[str, Service]:
    """Return the services by the name that they get, each once and none with a machine's name."""
    named: dict[str, Service] = {}
    for service in {one.name: one for one in services}.values():
        named[unlike(fleet_name(service.name), {*machines, *named})] = service
    return named


def _with_ports(named: Mapping[str, Service], host: Callable[[str], str]) -> dict[str, str]:
    return {
        name: host(name) if service.port is None else f"{host(name)}:{service.port}"
        for name, service in named.items()
    }


def _host(name: str) -> str:
    """Return a name as a host name, which ends in a letter, digit or `_`."""
    return name.rstrip("-.")


def _told_host(agents: Sequence[Placed], machine: str) -> str | None:
    """Return the one address that all agents of a machine name, if there is one."""
    hosts = {agent.found.host for agent in agents if agent.machine == machine and _is_peer(agent.found.host)}
    return hosts.pop() if len(hosts) == 1 else None


def _is_peer(host: str | None) -> bool:
    if host is None or is_wildcard(host) or is_loopback(host):
        return False
    address = parse_address(host)
    return address is not None and not address.port and variable_of(address.host) is None


def _tell(
    environments: Mapping[str, Mapping[str, str]], known: Mapping[str, str], where: str
) -> Iterator[Decision]:
    rest = (
        "the rest is on this machine (127.0.0.1)"
        if known
        else "every machine and service is this one (127.0.0.1)"
    )
    what = "".join(f"`{name}` is {address}, " for name, address in known.items()) + rest
    yield Decision(where, f"in `development` {what}", "an address that nobody tells is not guessed")
    variables = ", ".join(f"`{text.partition(':')[0]}`" for text in environments["production"].values())
    yield Decision(
        where, f"in `production` addresses come from {variables}", "set them, or write the addresses"
    )
    why = "as container networks resolve them"
    yield Decision(where, "in `container` machines and services go by their names", why)
    yield Decision(
        where, "in `testing` every machine and service is this one (127.0.0.1)", "so tests need no other"
    )


def _tell_hosts(agents: Sequence[Placed], told: Mapping[str, str | None]) -> Iterator[Decision]:
    """Yield one decision for each `host` that was not taken for an address."""
    users: dict[tuple[str, str], list[Placed]] = {}
    for agent in agents:
        host = agent.found.host
        if host is not None and host != told[agent.machine]:
            users.setdefault((agent.machine, host), []).append(agent)
    for (machine, host), having in users.items():
        count = f"{len(having)} agents" if len(having) > 1 else f"`{having[0].name}`"
        why = "it is an interface to listen on, which no peer can connect to"
        if _is_peer(host):
            why = f"the agents of `{machine}` name more than one; a machine has one address"
        elif not is_wildcard(host):
            why = "where an agent is follows from its machine's address in the environment"
        yield Decision(
            having[0].found.where, f"`host: {host}` of {count} on `{machine}` is not taken over", why
        )
