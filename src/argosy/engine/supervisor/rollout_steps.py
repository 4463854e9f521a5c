"""Steps of a change: wait until agents have settled, and stop agents in dependency order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from argosy.engine.protocol.state_machine import SETTLED_STATES, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from argosy.engine.supervisor.dependents import Dependents
    from argosy.engine.unit.dependency_state import Dependency
    from argosy.engine.unit.unit import Unit


# Allowance for agents of other machines, whose stop time-outs are not known here.
_REMOTE_STOP_TIMEOUT_S = 60.0


class SettleWaiter:
    """Waits until every agent of a scope is ready, or will not become ready by itself.

    machines: the peers that take part and have not finished. is_unattended(): nobody waits for the result
    any more; the wait then returns, and what was begun goes on by itself.
    """

    def __init__(
        self,
        units: Iterable[Dependency],
        machines: Iterable[str] = (),
        is_unattended: Callable[[], bool] = lambda: False,
    ) -> None:
        self._units = {unit.name: unit for unit in units}
        self._unsettled: set[str] = set(self._units)
        self._pending_machines = set(machines)
        self._changed = asyncio.Event()
        self.is_unattended = is_unattended
        self.is_interrupted = False

    def on_transition(self, unit: Dependency) -> None:
        """Record a transition."""
        if unit.name in self._units:
            self._update(unit)
            if not self._unsettled:
                self._changed.set()

    def on_machine_done(self, machine: str) -> None:
        """Record that another machine has finished its part, or is unreachable."""
        self._pending_machines.discard(machine)
        for unit in self._units.values():
            self._update(unit)
        self._changed.set()

    def replace_unit(self, unit: Unit) -> None:
        """Track a new unit instead of the one with its name."""
        if unit.name in self._units:
            self._units[unit.name] = unit

    def interrupt(self) -> None:
        """End the current wait, and any later one."""
        self.is_interrupted = True
        self._changed.set()

    def recheck_attended(self) -> None:
        """Evaluate again whether anybody waits for the result."""
        self._changed.set()

    async def wait(self, timeout_s: float) -> bool:
        """Return True once settled, interrupted or unattended; False at the time-out."""
        for unit in self._units.values():
            self._update(unit)
        try:
            async with asyncio.timeout(timeout_s):
                # A unit may become unready between the last event and this task's turn: check again.
                while (self._unsettled or self._pending_machines) and not (
                    self.is_interrupted or self.is_unattended()
                ):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def unsettled(self) -> list[Dependency]:
        """Return the agents that have not settled."""
        return [unit for unit in self._units.values() if unit.name in self._unsettled]

    def _update(self, unit: Dependency) -> None:
        # Agents of an unreachable machine cannot be waited for.
        if unit.state in SETTLED_STATES or (not unit.is_reachable and unit.state is not State.WAITING):
            self._unsettled.discard(unit.name)
        else:
            self._unsettled.add(unit.name)


class OrderedStop:
    """Stops units so that each stops before its dependencies; a unit waits only for its own dependents.

    When no unit exits any more although every stop time-out has passed, all that are left are killed;
    units that survive the kill are not waited for.
    stopping_elsewhere: agents that other machines are stopping at the same time. slack_s: the time from a
    kill until nothing of a process is left, leftover processes included.
    """

    def __init__(
        self,
        units: Iterable[Unit],
        dependents: Dependents,
        stopping_elsewhere: Iterable[str] = (),
        slack_s: float = 5.0,
    ) -> None:
        self._slack_s = slack_s
        self._units = {unit.name: unit for unit in units}
        self._stopping_elsewhere = frozenset(stopping_elsewhere)
        self._dependents = dependents
        self._stop_requested: set[str] = set()
        self._done = asyncio.Event()

    async def run(self) -> None:
        """Stop all units; return when none has a process, or when `still_running` survived the kill."""
        for unit in self._units.values():
            unit.desired_up = False
        self._request_stop(self._units)
        is_killed, count = False, len(self.still_running())
        while not await self._is_done_within(self._slack_s if is_killed else self._progress_timeout_s()):
            before, count = count, len(self.still_running())
            if count < before:
                continue  # progress: a long chain takes its time
            if is_killed:
                return
            is_killed = True
            self._kill()

    def still_running(self) -> list[Unit]:
        """Return the units that still have a process."""
        return [unit for unit in self._units.values() if unit.has_process]

    async def _is_done_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._done.wait()
        except TimeoutError:
            return False
        return True

    def _progress_timeout_s(self) -> float:
        """Return the longest time without progress: each unit has its own stop time-out, then is killed."""
        longest = max((unit.spec.stop_timeout_s for unit in self.still_running()), default=0.0)
        return longest + self._slack_s + (_REMOTE_STOP_TIMEOUT_S if self._stopping_elsewhere else 0.0)

    def _kill(self) -> None:
        """Kill all that are left, in any order."""
        for unit in self._units.values():
            self._stop_requested.add(unit.name)
            if unit.has_process:
                unit.kill()
            else:
                unit.stop()
        self._request_stop(())

    def on_transition(self, unit: Dependency) -> None:
        """Stop the dependencies of an agent that may have exited; called at each transition."""
        if (unit.name in self._units or unit.name in self._stopping_elsewhere) and not unit.has_process:
            self._request_stop(unit.need_names())

    def _request_stop(self, names: Iterable[str]) -> None:
        """Stop those of `names`, and of their dependencies, that no running dependent needs any more."""
        stack = [name for name in names if name in self._units]
        while stack:
            unit = self._units[stack.pop()]
            if unit.name in self._stop_requested or self._has_running_dependent(unit):
                continue
            self._stop_requested.add(unit.name)
            unit.stop()
            if not unit.has_process:
                stack += [need for need in unit.spec.need_names() if need in self._units]
        if len(self._stop_requested) == len(self._units) and not any(
            unit.has_process for unit in self._units.values()
        ):
            self._done.set()

    def _has_running_dependent(self, unit: Unit) -> bool:
        """Return whether a dependent of `unit` that is being stopped still runs."""
        if self._stopping_elsewhere and any(
            other.name in self._stopping_elsewhere and other.has_process
            for other in self._dependents.remote_of(unit.name)
        ):
            return True
        return any(
            other.name in self._units and other.has_process for other in self._dependents.of(unit.name)
        )
