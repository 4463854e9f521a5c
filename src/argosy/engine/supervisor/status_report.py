"""The status report: the state of the fleet, one entry per agent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from argosy.engine.protocol.messages import AgentStatus, FleetStatus, MachineStatus
from argosy.engine.protocol.state_machine import State
from argosy.engine.unit.heartbeat import with_silence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from argosy.engine.supervisor.unit_manager import UnitManager
    from argosy.engine.unit.unit import Unit


def fleet_status(
    unit_manager: UnitManager, started_s: float, peer_machines: Mapping[str, MachineStatus], hub: str
) -> FleetStatus:
    """Return the status of a fleet whose supervisor started at `started_s` (epoch seconds).

    peer_machines: the other machines. hub: why the requested hub does not run.
    """
    plan = unit_manager.plan
    machines = sorted({unit.spec.machine for unit in unit_manager.units.values() if unit.spec.machine})
    here = MachineStatus(state="here", since_s=started_s, version=unit_manager.tree_version())
    agents = agent_statuses(unit_manager) | {
        name: each.to_status() for name, each in unit_manager.remote_agents.items()
    }
    order = {name: number for number, name in enumerate(plan.declared)} if plan else {}
    return FleetStatus(
        fleet=plan.fleet if plan else "",
        environment=plan.environment if plan else "",
        pid=os.getpid(),
        started_s=started_s,
        machines={**dict.fromkeys(machines, here), **peer_machines},
        agents=dict(sorted(agents.items(), key=lambda item: order.get(item[0], len(order)))),
        hub=hub,
    )


def agent_statuses(unit_manager: UnitManager) -> dict[str, AgentStatus]:
    """Return the status of each agent of this machine."""
    return {name: agent_status(unit, unit_manager) for name, unit in unit_manager.units.items()}


def waiting_on(unit: Unit, unit_manager: UnitManager) -> list[str]:
    """Return the names that a waiting unit waits for."""
    return unit_manager.dependency_status(unit).waiting_on if unit.state is State.WAITING else []


def agent_status(unit: Unit, unit_manager: UnitManager) -> AgentStatus:
    """Return one agent's status."""
    status = AgentStatus(
        state=unit.state,
        health=unit.health,
        pid=unit.pid,
        machine=unit.spec.machine,
        group=unit.spec.group,
        port=unit.spec.port,
        restarts=unit.restarts,
        since_s=unit.since_s,
        waiting_on=waiting_on(unit, unit_manager),
        reason=unit.reason,
        rss_bytes=unit.memory.rss_bytes if unit.memory else None,
        pss_bytes=unit.memory.pss_bytes if unit.memory else None,
        sampled_s=unit_manager.loop.time() - unit.memory_sampled_at if unit.memory else None,
        last_lines=unit.last_lines,
        cell=unit.spec.cell,
        version=unit.version,
        apply_id=unit.apply_id,
        last_exit=unit.last_exit,
        required=unit.spec.required,
        has_failed=unit.has_failed,
    )
    silent_s = unit.silent_s
    return status if silent_s is None else with_silence(status, silent_s)
