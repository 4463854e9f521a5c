"""Whether an `up` on a changed file would end agents whose code could not start again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from argosy.engine.difference import scope_of
from argosy.engine.plan import plan_fleet
from argosy.engine.radius import radius_of
from argosy.engine.roster import read_roster
from argosy.fault import Fault, RefusedError
from argosy.fleet.environment import here, place

if TYPE_CHECKING:
    from argosy.engine.folder import Folder
    from argosy.engine.messages import Apply, Report
    from argosy.engine.plan import ProcessSpec


def refuse_flawed(report: Report, apply: Apply, folder: Folder) -> None:
    """Raise RefusedError where the apply would end a running agent of this machine for such code.

    Looks at sources only when something that runs would be restarted.
    """
    from argosy.engine.flaws import find_flaws  # noqa: PLC0415 - reads sources

    touched = _touched(report, apply, folder)
    if not touched:
        return
    commands = {name: spec.argv for name, spec in touched.items()}
    found = find_flaws(apply.fleet, commands, os.environ)
    if found:
        raise RefusedError(*(_fault(name, flaw) for name, flaw in found.items()))


def _touched(report: Report, apply: Apply, folder: Folder) -> dict[str, ProcessSpec]:
    """Return the running agents that the apply would restart, as they would be then."""
    running = {name for name, agent in report.at_home().items() if agent.pid is not None}
    roster = read_roster(folder) if running else None
    if roster is None:
        return {}
    variables = dict(os.environ)
    placement = place(apply.fleet, apply.environment, variables)
    plan = plan_fleet(apply.fleet, placement, here(placement, apply.machine, variables), folder)
    before, after = roster.plan.processes, plan.processes
    scope = scope_of(plan, [name for name in apply.only or after if name in after], apply.skip)
    other = [
        name
        for name in scope
        if name in running and name in before and before[name].digest != after[name].digest
    ]
    outages = radius_of(other, after, running & after.keys(), {}).outages if other else ()
    return {each.agent: after[each.agent] for each in outages if each.agent in running}


def _fault(name: str, flaw: Fault) -> Fault:
    message = f"{flaw.message}; `{name}` runs, would be restarted, and could not start again"
    more = f"{flaw.hint}; " if flaw.hint else ""
    return Fault(
        flaw.where, flaw.code, message, f"{more}nothing was changed; `--anyway` restarts it all the same"
    )
