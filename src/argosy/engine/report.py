"""What a status tells: the fleet now, one entry an agent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from argosy.engine.beats import in_silence
from argosy.engine.messages import AgentStatus, MachineStatus, Report
from argosy.engine.state import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from argosy.engine.crew import Crew
    from argosy.engine.unit import Unit


def report_of(crew: Crew, started_s: float, others: Mapping[str, MachineStatus], hub: str) -> Report:
    """Return the report of a crew whose supervisor started at `started_s` (epoch seconds).

    others: the machines it is linked to. hub: why the hub that is to run does not.
    """
    plan = crew.plan
    machines = sorted({unit.spec.machine for unit in crew.units.values() if unit.spec.machine})
    here = MachineStatus(state="here", since_s=started_s, version=crew.tree_version())
    agents = statuses_of(crew) | {name: each.report() for name, each in crew.distants.items()}
    order = {name: number for number, name in enumerate(plan.declared)} if plan else {}
    return Report(
        fleet=plan.fleet if plan else "",
        environment=plan.environment if plan else "",
        pid=os.getpid(),
        started_s=started_s,
        machines={**dict.fromkeys(machines, here), **others},
        agents=dict(sorted(agents.items(), key=lambda item: order.get(item[0], len(order)))),
        hub=hub,
    )


def statuses_of(crew: Crew) -> dict[str, AgentStatus]:
    """Return the status of each agent of this machine."""
    return {name: status_of(unit, crew) for name, unit in crew.units.items()}


def waiting_on(unit: Unit, crew: Crew) -> list[str]:
    """Return the names that a waiting unit waits for."""
    return crew.needs_of(unit).waiting_on if unit.state is State.WAITING else []


def status_of(unit: Unit, crew: Crew) -> AgentStatus:
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
        waiting_on=waiting_on(unit, crew),
        reason=unit.reason,
        rss_bytes=unit.memory.rss_bytes if unit.memory else None,
        pss_bytes=unit.memory.pss_bytes if unit.memory else None,
        sampled_s=crew.loop.time() - unit.memory_at if unit.memory else None,
        last_lines=unit.last_lines,
        cell=unit.spec.cell,
        version=unit.version,
        order=unit.order,
        last_exit=unit.last_exit,
        required=unit.spec.required,
        has_failed=unit.has_failed,
    )
    silent_s = unit.silent_s
    return status if silent_s is None else in_silence(status, silent_s)
