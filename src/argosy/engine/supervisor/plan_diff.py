"""What an apply changes: the running units against the new plan. Pure data in, data out."""

from __future__ import annotations

import difflib
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

from argosy.engine.protocol.messages import ApplyPreview
from argosy.fault import Fault, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from argosy.engine.plan.process_plan import ProcessPlan


class RunningAgent(NamedTuple):
    """What a running process was started from, and the cell it runs in."""

    digest: str
    cell: str | None = None


class PlanDiff(NamedTuple):
    """Names in the order of the plan. start: not running. restart: running from another spec, or with one.

    move: running, but belongs in another process (into a cell, or out of it). stop: running but no longer
    declared here. adopted: running as planned.
    """

    start: list[str]
    restart: list[str]
    stop: list[str]
    adopted: list[str]
    move: list[str]

    def to_preview(self, declared_count: int) -> ApplyPreview:
        """Return the message sent before the apply of a fleet with `declared_count` agents."""
        restart = [*self.restart, *self.move]
        return ApplyPreview(
            start=self.start, restart=restart, stop=self.stop, adopted=self.adopted, declared=declared_count
        )


class HasDependencies(Protocol):
    """An agent of this machine or of a peer, seen by its needs."""

    def need_names(self) -> tuple[str, ...]:
        """Return the names of the agents that must be ready first."""


def select_scope(
    plan: ProcessPlan,
    only: Iterable[str] | None,
    skip: Mapping[str, str],
    remote_agents: Mapping[str, HasDependencies] = MappingProxyType({}),
) -> list[str]:
    """Return the names that an apply covers: all, or those of `only` with their needs; less `skip`.

    remote_agents: agents of peer machines, which are part of it.
    Raises InputError: `only` names an agent that does not exist or that none of these machines runs.
    """
    known: dict[str, HasDependencies] = {**plan.processes, **remote_agents}
    in_order = [name for name in plan.declared if name in known]
    if only is None:
        return [name for name in in_order if name not in skip]
    wanted: set[str] = set()
    faults = []
    stack = list(only)
    for name in stack:
        if name not in known:
            faults.append(_unknown_agent_fault(plan, name))
    if faults:
        raise InputError(*faults)
    while stack:
        name = stack.pop()
        if name not in wanted and name in known:
            wanted.add(name)
            stack.extend(known[name].need_names())
    return [name for name in in_order if name in wanted and name not in skip]


def diff_plan(running: Mapping[str, RunningAgent], plan: ProcessPlan, scope: Iterable[str]) -> PlanDiff:
    """Return the change that makes `scope` run as planned.

    running: an empty digest is unknown, and the process is adopted as it is. An agent that has to restart
    takes the other members of its cell with it; one that leaves a cell does not.
    """
    diff = PlanDiff([], [], [], [], [])
    for name in scope:
        found, wanted = running.get(name), plan.processes[name]
        if found is None:
            diff.start.append(name)
        elif found.digest and found.cell != wanted.cell:
            diff.move.append(name)
        elif found.digest and found.digest != wanted.digest:
            diff.restart.append(name)
        else:
            diff.adopted.append(name)
    diff.stop.extend(name for name in running if name not in plan.processes)
    return _with_cell_members(diff, running, plan)


def _with_cell_members(diff: PlanDiff, running: Mapping[str, RunningAgent], plan: ProcessPlan) -> PlanDiff:
    cells = {plan.processes[name].cell for name in diff.restart} - {None}
    cell_members = {
        name
        for name, found in running.items()
        if found.cell in cells and name in plan.processes and plan.processes[name].cell == found.cell
    }
    return diff._replace(
        restart=[name for name in plan.processes if name in cell_members.union(diff.restart)],
        adopted=[name for name in diff.adopted if name not in cell_members],
    )


def _unknown_agent_fault(plan: ProcessPlan, name: str) -> Fault:
    if name in plan.left_out:
        return Fault("--only", "other-machine", f"`{name}` is {plan.left_out[name]}")
    near = difflib.get_close_matches(name, plan.declared, 1)
    hint = f"did you mean `{near[0]}`?" if near else "`argosy graph` lists the agents"
    return Fault("--only", "unknown-agent", f"the fleet has no agent `{name}`", hint)
