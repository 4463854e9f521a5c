"""What an apply changes: today's units against tomorrow's plan. Pure data in, data out."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.messages import Difference
from argosy.fault import Fault, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from argosy.engine.plan import Plan


class Change(NamedTuple):
    """Names in the order of the plan. start: not running. restart: running from another spec.

    stop: running and no more declared here. adopted: running as they should.
    """

    start: list[str]
    restart: list[str]
    stop: list[str]
    adopted: list[str]

    def told(self, declared: int) -> Difference:
        """Return it as the message that precedes it, of a fleet with so many agents."""
        return Difference(**self._asdict(), declared=declared)


def scope_of(plan: Plan, only: Iterable[str] | None, skip: Mapping[str, str]) -> list[str]:
    """Return the names that an apply is about: all, or those of `only` with their needs; less `skip`.

    Raises InputError: `only` names an agent that this machine does not run, or that does not exist.
    """
    if only is None:
        return [name for name in plan.processes if name not in skip]
    wanted: set[str] = set()
    faults = []
    stack = list(only)
    for name in stack:
        if name not in plan.processes:
            faults.append(_unknown(plan, name))
    if faults:
        raise InputError(*faults)
    while stack:
        name = stack.pop()
        if name not in wanted and name in plan.processes:
            wanted.add(name)
            stack.extend(plan.processes[name].need_names())
    return [name for name in plan.processes if name in wanted and name not in skip]


def compare(running: Mapping[str, str], plan: Plan, scope: Iterable[str]) -> Change:
    """Return what has to be done so that `scope` runs as planned.

    running: name to the digest that the running process was started from, empty where nobody knows: it
    is taken as it is.
    """
    change = Change([], [], [], [])
    for name in scope:
        digest = running.get(name)
        if digest is None:
            change.start.append(name)
        elif digest and digest != plan.processes[name].digest:
            change.restart.append(name)
        else:
            change.adopted.append(name)
    change.stop.extend(name for name in running if name not in plan.processes)
    return change


def _unknown(plan: Plan, name: str) -> Fault:
    if name in plan.left_out:
        return Fault("--only", "elsewhere", f"`{name}` is {plan.left_out[name]}")
    near = difflib.get_close_matches(name, plan.declared, 1)
    hint = f"did you mean `{near[0]}`?" if near else "`argosy graph` lists the agents"
    return Fault("--only", "unknown-agent", f"the fleet has no agent `{name}`", hint)
