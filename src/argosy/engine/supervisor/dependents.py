"""What a change of one agent means for those that need it, for the event log and for clients."""

from __future__ import annotations

from collections import ChainMap
from typing import TYPE_CHECKING, Any

from argosy.engine.protocol.state_machine import FINAL_STATES, READY_STATES, State
from argosy.engine.state.event_log import REMOTE_STATE
from argosy.engine.unit.startup_fault_search import StartupFaultSearch
from argosy.engine.unit.unit import UnitObserver

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Mapping

    from argosy.engine.fork.launcher import ProcessLauncher
    from argosy.engine.peering.remote_agent import RemoteAgent
    from argosy.engine.plan.process_plan import ProcessPlan
    from argosy.engine.state.event_log import EventLog
    from argosy.engine.unit.dependency_state import Dependency
    from argosy.engine.unit.unit import Unit
    from argosy.fault import Fault


class Dependents(UnitObserver):
    """Observes all units: starts, blocks, degrades or restarts the dependents of one that changes.

    agents: of all machines by name; a unit of this machine hides a remote agent of its name.
    on_unit_change(unit): called after every transition.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        event_log: EventLog,
        launcher: ProcessLauncher,
        units: dict[str, Unit],
        on_unit_change: Callable[[Unit], None],
    ) -> None:
        self._loop = loop
        self._event_log = event_log
        self._units = units
        self._remote_agents: Mapping[str, RemoteAgent] = {}
        self.agents = ChainMap[str, Any](units)
        self._on_unit_change = on_unit_change
        self._names: dict[str, list[str]] = {}  # need to its dependents
        self._fleet_path = ""
        self._startup_fault_search = StartupFaultSearch(loop, launcher.run_engine_helper)

    def set_plan(self, plan: ProcessPlan) -> None:
        """Use the needs of this plan from now on."""
        self._fleet_path = plan.path
        self._names = {}
        for name, spec in plan.processes.items():
            for need in spec.need_names():
                self._names.setdefault(need, []).append(name)

    def set_remote_agents(self, remote_agents: dict[str, RemoteAgent]) -> None:
        """Use this live mapping where an agent of another machine is needed."""
        self._remote_agents = remote_agents
        self.agents.maps.append(remote_agents)

    def of(self, name: str) -> list[Unit]:
        """Return the units that need `name` directly."""
        return [self._units[each] for each in self._names.get(name, ()) if each in self._units]

    def remote_of(self, name: str) -> list[RemoteAgent]:
        """Return the agents of other machines that need `name` directly."""
        return [each for each in self._remote_agents.values() if name in each.need_names()]

    # ---- changes of a unit

    def on_transition(self, unit: Unit) -> None:
        """Log the transition and notify the observers."""
        self._event_log.append(
            "state",
            agent=unit.name,
            state=unit.state.value,
            pid=unit.pid,
            text=unit.reason,
            lines=unit.last_lines,
        )
        self._on_unit_change(unit)
        if unit.state is State.WAITING:
            self._reevaluate(unit, State.BLOCKED)

    def on_ready(self, unit: Dependency) -> None:
        """Start dependents that wait for this agent; clear the degraded state of those that lost it."""
        for other in self.of(unit.name):
            if other.state in (State.WAITING, State.BLOCKED) and other.desired_up:
                other.reevaluate_needs()
            elif unit.name in other.lost_needs:
                shall_restart = other.spec.on_death_of(unit.name) == "restart" and other.desired_up
                other.on_need_restored(unit.name, shall_restart=shall_restart)

    def on_unready(self, unit: Dependency) -> None:
        """Apply `on_death` to the running dependents of an agent that is no longer ready."""
        for other in self.of(unit.name):
            death_action = other.spec.on_death_of(unit.name)
            if death_action == "wait" or not other.desired_up or not other.has_process:
                continue
            if death_action == "stop":
                other.restart()  # stops now; starts once its needs are ready again
            else:
                other.on_need_lost(unit.name)

    def on_final(self, unit: Dependency) -> None:
        """Block the waiting dependents of an agent that will not become ready by itself."""
        for other in self.of(unit.name):
            if other.state is State.WAITING:
                # Deferred: a chain of hundreds would recurse as deeply.
                self._loop.call_soon(other.reevaluate_needs)

    def _reevaluate(self, unit: Dependency, *states: State) -> None:
        """Evaluate the needs of its wanted dependents in these states again."""
        for other in self.of(unit.name):
            if other.state in states and other.desired_up:
                self._loop.call_soon(other.reevaluate_needs)

    def find_startup_fault(self, unit: Unit, on_result: Callable[[Fault | None], None]) -> None:
        """Search the unit's sources for a fault that prevents every start; `on_result` gets it, or None."""
        self._startup_fault_search.enqueue(self._fleet_path, unit.spec, on_result)

    # ---- changes of an agent of another machine

    def on_remote_change(self, remote_agent: RemoteAgent, before: State) -> None:
        """Handle a change of an agent of another machine."""
        if remote_agent.consume_change():
            self._event_log.append(
                REMOTE_STATE,
                agent=remote_agent.name,
                state=remote_agent.state.value,
                pid=remote_agent.pid,
                text=remote_agent.reason,
                lines=remote_agent.last_lines,
            )
        if remote_agent.is_ready and before not in READY_STATES:
            self.on_ready(remote_agent)
        elif before in READY_STATES and not remote_agent.is_ready:
            self.on_unready(remote_agent)
        if remote_agent.state in FINAL_STATES:
            self.on_final(remote_agent)
        elif before in FINAL_STATES:
            self._reevaluate(remote_agent, State.BLOCKED)

    def on_reachability_change(self, remote_agents: Iterable[RemoteAgent]) -> None:
        """Re-evaluate dependents of these agents: their machine connected, or did not connect in time."""
        for remote_agent in remote_agents:
            self._reevaluate(remote_agent, State.WAITING, State.BLOCKED)

    def close(self) -> None:
        """Cancel a running search."""
        self._startup_fault_search.close()
