"""What an apply changes: today's units against tomorrow's plan. Pure data in, data out."""

from __future__ import annotations

import difflib
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

from argosy.engine.messages import Difference
from argosy.fault import Fault, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from argosy.engine.plan import Plan


class Running(NamedTuple):
    """What a running process was started from, and the cell that carries it."""

    digest: str
    cell: str | None = None


class Change(NamedTuple):
    """Names in the order of the plan. start: not running. restart: running from another spec, or with one.

    move: running, and from now on in another process (into a cell, or out of it). stop: running and
    no more declared here. adopted: running as they should.
    """

    start: list[str]
    restart: list[str]
    stop: list[str]
    adopted: list[str]
    move: list[str]

    def told(self, declared: int) -> Difference:
        """Return it as the message that precedes it, of a fleet with so many agents."""
        restart = [*self.restart, *self.move]
        return Difference(
            start=self.start, restart=restart, stop=self.stop, adopted=self.adopted, declared=declared
        )


class Neighbour(Protocol):
    """An agent of a machine that this one is linked to."""

    def need_names(self) -> tuple[str, ...]:
        """Return the names of the agents that must be ready first."""


def scope_of(
    plan: Plan,
    only: Iterable[str] | None,
    skip: Mapping[str, str],
    elsewhere: Mapping[str, Neighbour] = MappingProxyType({}),
) -> list[str]:
    """Return the names that an apply is about: all, or those of `only` with their needs; less `skip`.

    elsewhere: agents of linked machines, which are part of it.
    Raises InputError: `only` names an agent that no machine of these runs, or that does not exist.
    """
    known: dict[str, Neighbour] = {**plan.processes, **elsewhere}
    in_order = [name for name in plan.declared if name in known]
    if only is None:
        return [name for name in in_order if name not in skip]
    wanted: set[str] = set()
    faults = []
    stack = list(only)
    for name in stack:
        if name not in known:
            faults.append(_unknown(plan, name))
    if faults:
        raise InputError(*faults)
    while stack:
        name = stack.pop()
        if name not in wanted and name in known:
            wanted.add(name)
            stack.extend(known[name].need_names())
    return [name for name in in_order if name in wanted and name not in skip]


def compare(running: Mapping[str, Running], plan: Plan, scope: Iterable[str]) -> Change:
    """Return what has to be done so that `scope` runs as planned.

    running: digest empty where nobody knows it: that one is taken as it is. An agent of a cell that has
    to restart takes the others with it; one that leaves a cell does not.
    """
    change = Change([], [], [], [], [])
    for name in scope:
        found, wanted = running.get(name), plan.processes[name]
        if found is None:
            change.start.append(name)
        elif found.digest and found.cell != wanted.cell:
            change.move.append(name)
        elif found.digest and found.digest != wanted.digest:
            change.restart.append(name)
        else:
            change.adopted.append(name)
    change.stop.extend(name for name in running if name not in plan.processes)
    return _with_mates(change, running, plan)


def _with_mates(change: Change, running: Mapping[str, Running], plan: Plan) -> Change:
    cells = {plan.processes[name].cell for name in change.restart} - {None}
    mates = {
        name
        for name, found in running.items()
        if found.cell in cells and name in plan.processes and plan.processes[name].cell == found.cell
    }
    return change._replace(
        restart=[name for name in plan.processes if name in mates.union(change.restart)],
        adopted=[name for name in change.adopted if name not in mates],
    )


def _unknown(plan: Plan, name: str) -> Fault:
    if name in plan.left_out:
        return Fault("--only", "elsewhere", f"`{name}` is {plan.left_out[name]}")
    near = difflib.get_close_matches(name, plan.declared, 1)
    hint = f"did you mean `{near[0]}`?" if near else "`argosy graph` lists the agents"
    return Fault("--only", "unknown-agent", f"the fleet has no agent `{name}`", hint)
