"""Which machines a supervisor links to, where, and what it must know of their agents. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from argosy.fleet import hosts
from argosy.fleet.spec import Need
from argosy.wire.keys import folder_in_use

if TYPE_CHECKING:
    from collections.abc import Iterable

    from argosy.fleet.placement import Placement
    from argosy.fleet.spec import Fleet

# The door of a machine's supervisor, counted from the port of the hub's page; the hubs exchange at 1.
_PORT_BESIDE_HUB: Final = 2


class Foreign(msgspec.Struct, frozen=True, kw_only=True):
    """What the fleet file says of an agent of another machine."""

    machine: str
    group: str | None
    port: int | None
    needs: tuple[Need, ...]
    required: bool

    def need_names(self) -> tuple[str, ...]:
        """Return the names of the agents that must be ready first."""
        return tuple(need.agent for need in self.needs)


class LinkPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The links of one supervisor.

    machine: this one. door: where it listens. keys: the folder of the fleet's keys. peers: the other
    machines' doors. agents: of the other machines, by name.
    """

    fleet: str
    environment: str
    machine: str
    door: str
    keys: str
    peers: dict[str, str]
    agents: dict[str, Foreign]


def plan_links(fleet: Fleet, placement: Placement, here: Iterable[str | None]) -> LinkPlan | None:
    """Return the links of the machine(s) that this host is; None where it has no peers, or no keys.

    Raises InputError: a machine has no address in this environment.
    """
    mine = [name for name in placement.machines() if name in set(here)]
    others = [name for name in placement.machines() if name not in mine]
    own = mine[0] if mine else next((name for name in here if name), None)
    keys = folder_in_use(fleet.name, placement.lookup.variables)
    if own is None or not others or not keys:
        return None
    port = fleet.hub.port + _PORT_BESIDE_HUB
    host = placement.address_of(own)
    return LinkPlan(
        fleet=fleet.name,
        environment=placement.environment,
        machine=own,
        # A host name may stand for an address that the machine does not have.
        door=_endpoint(host if hosts.is_ip(host) else hosts.WILDCARD, port),
        keys=keys,
        peers={name: _endpoint(placement.address_of(name), port) for name in others},
        agents={
            agent.name: Foreign(
                machine=agent.machine,
                group=agent.group,
                port=placement.connect(agent.name).port if agent.port is not None else None,
                needs=agent.needs,
                required=agent.required,
            )
            for agent in fleet.agents.values()
            if agent.machine in others
        },
    )


def _endpoint(host: str, port: int) -> str:
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"
