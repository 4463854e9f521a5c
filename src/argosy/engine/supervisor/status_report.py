"""The status report: the state of the fleet, one entry per agent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from argosy.engine.protocol.messages import AgentStatus, FleetStatus, MachineStatus
from argosy.engine.unit.heartbeat import with_silence

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from argosy.engine.plan.process_plan import ProcessPlan
    from argosy.engine.unit.unit import Unit


def fleet_status(
    plan: ProcessPlan | None,
    agents: Mapping[str, AgentStatus],
    here: MachineStatus,
    peer_machines: Mapping[str, MachineStatus],
    hub: str,
) -> FleetStatus:
    """Return the status of a fleet.

    agents: of all machines. here, peer_machines: this machine and the others. hub: why the requested hub does
    not run.
    """
    order = {name: number for number, name in enumerate(plan.declared)} if plan else {}
    machines = sorted({each.machine for each in agents.values() if each.machine})
    return FleetStatus(
        fleet=plan.fleet if plan else "",
        environment=plan.environment if plan else "",
        pid=os.getpid(),
        started_s=here.since_s,
        machines={**dict.fromkeys(machines, here), **peer_machines},
        agents=dict(sorted(agents.items(), key=lambda item: order.get(item[0], len(order)))),
        hub=hub,
    )


def agent_statuses(units: Iterable[Unit]) -> dict[str, AgentStatus]:
    """Return the status of each agent of this machine."""
    return {unit.name: agent_status(unit) for unit in units}


def agent_status(unit: Unit) -> AgentStatus:
    """Return one agent's status."""
    memory = unit.memory
    status = AgentStatus(
        state=unit.state,
        health=unit.health,
        pid=unit.pid,
        machine=unit.spec.machine,
        group=unit.spec.group,
        port=unit.spec.port,
        restarts=unit.restarts,
        since_s=unit.since_s,
        waiting_on=unit.waiting_on,
        reason=unit.reason,
        rss_bytes=memory.rss_bytes if memory else None,
        pss_bytes=memory.pss_bytes if memory else None,
        sampled_s=unit.sampled_s if memory else None,
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
