"""Plans which machines a supervisor connects to, and what it must know of their agents. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from argosy.fleet import hosts
from argosy.fleet.fleet_spec import Need
from argosy.wire.security.curve_keys import active_keys_dir

if TYPE_CHECKING:
    from collections.abc import Iterable

    from argosy.fleet.fleet_spec import Fleet
    from argosy.fleet.placement import Placement

# Port of a machine's supervisor relative to the port of the hub's page; hubs replicate at offset 1.
_HUB_PORT_OFFSET: Final = 2


class RemoteAgentSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the fleet file about an agent of another machine."""

    machine: str
    group: str | None
    port: int | None
    needs: tuple[Need, ...]
    required: bool

    def need_names(self) -> tuple[str, ...]:
        """Return the names of the agents that must be ready first."""
        return tuple(need.agent for need in self.needs)


class PeeringPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The connections of one supervisor.

    machine: this machine. listen_endpoint: where it listens. keys_dir: the directory of the fleet's keys.
    peers: other machine to its endpoint. agents: of the other machines, by name.
    """

    fleet: str
    environment: str
    machine: str
    listen_endpoint: str
    keys_dir: str
    peers: dict[str, str]
    agents: dict[str, RemoteAgentSpec]


def plan_peering(
    fleet: Fleet, placement: Placement, local_machines: Iterable[str | None]
) -> PeeringPlan | None:
    """Return the connections of the machine(s) that this host is; None without peers or without keys.

    Raises InputError: a machine has no address in this environment.
    """
    own_machines = [name for name in placement.machines() if name in set(local_machines)]
    others = [name for name in placement.machines() if name not in own_machines]
    own = own_machines[0] if own_machines else next((name for name in local_machines if name), None)
    keys_dir = active_keys_dir(fleet.name, placement.lookup.variables)
    if own is None or not others or not keys_dir:
        return None
    port = fleet.hub.port + _HUB_PORT_OFFSET
    host = placement.host_of_machine(own)
    return PeeringPlan(
        fleet=fleet.name,
        environment=placement.environment,
        machine=own,
        # A host name may stand for an address that the machine does not have.
        listen_endpoint=_endpoint(host if hosts.is_ip(host) else hosts.WILDCARD, port),
        keys_dir=keys_dir,
        peers={name: _endpoint(placement.host_of_machine(name), port) for name in others},
        agents={
            agent.name: RemoteAgentSpec(
                machine=agent.machine,
                group=agent.group,
                port=placement.endpoint_of(agent.name).port if agent.port is not None else None,
                needs=agent.needs,
                required=agent.required,
            )
            for agent in fleet.agents.values()
            if agent.machine in others
        },
    )


def _endpoint(host: str, port: int) -> str:
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"
