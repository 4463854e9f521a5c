"""Refuses an `up` that would restart running agents whose code could not start again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from argosy.engine.explain.restart_impact import estimate_impact
from argosy.engine.plan.applied_plan import load_applied_plan
from argosy.engine.plan.process_plan import ProcessSpec, plan_fleet
from argosy.engine.protocol.messages import Apply, FleetStatus
from argosy.engine.supervisor.plan_diff import select_scope
from argosy.fault import Fault, RefusedError
from argosy.fleet.environments import local_machines, place

if TYPE_CHECKING:
    from argosy.engine.state.state_dir import StateDir


def refuse_unstartable(report: FleetStatus, apply: Apply, state_dir: StateDir) -> None:
    """Raise RefusedError if the apply would restart a running local agent whose code cannot start.

    Reads sources only if a running agent would be restarted.
    """
    from argosy.engine.explain.startup_faults import find_startup_faults  # noqa: PLC0415 - reads sources

    restarting = _running_agents_restarted(report, apply, state_dir)
    if not restarting:
        return
    commands = {name: spec.argv for name, spec in restarting.items()}
    flaws = find_startup_faults(apply.fleet, commands, os.environ)
    if flaws:
        raise RefusedError(*(_restart_fault(name, flaw) for name, flaw in flaws.items()))


def _running_agents_restarted(
    report: FleetStatus, apply: Apply, state_dir: StateDir
) -> dict[str, ProcessSpec]:
    """Return the running agents that the apply would restart, with their new specs."""
    running = {name for name, agent in report.local_agents().items() if agent.pid is not None}
    applied_plan = load_applied_plan(state_dir) if running else None
    if applied_plan is None:
        return {}
    variables = dict(os.environ)
    placement = place(apply.fleet, apply.environment, variables)
    plan = plan_fleet(apply.fleet, placement, local_machines(placement, apply.machine, variables), state_dir)
    before, after = applied_plan.plan.processes, plan.processes
    scope = select_scope(plan, [name for name in apply.only or after if name in after], apply.skip)
    changed = [
        name
        for name in scope
        if name in running and name in before and before[name].digest != after[name].digest
    ]
    outages = estimate_impact(changed, after, running & after.keys(), {}).outages if changed else ()
    return {each.agent: after[each.agent] for each in outages if each.agent in running}


def _restart_fault(name: str, flaw: Fault) -> Fault:
    message = f"{flaw.message}; `{name}` is running, would be restarted, and could not start again"
    more = f"{flaw.hint}; " if flaw.hint else ""
    return Fault(
        flaw.where, flaw.code, message, f"{more}nothing was changed; `--anyway` restarts it despite this"
    )
