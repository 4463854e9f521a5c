"""All units of this machine: their dependencies, their admission, and what an exit means to the others.

The unit manager connects the units; it decides nothing that one unit can decide alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import ChainMap
from typing import TYPE_CHECKING, Any

from argosy.engine.admission.gpu_memory import GpuMemoryWatch
from argosy.engine.admission.memory_history import MemoryHistory
from argosy.engine.admission.memory_sampler import MemorySampler
from argosy.engine.admission.queue import AdmissionQueue
from argosy.engine.cells.managed_cell import ManagedCell
from argosy.engine.cells.member import CellMember
from argosy.engine.fork.launcher import ProcessLauncher
from argosy.engine.inventory.leftover_processes import agents_by_proc, find_leftovers
from argosy.engine.inventory.port_owners import PortOwners
from argosy.engine.logs.log_file import LogMark
from argosy.engine.logs.log_keeper import LogKeeper
from argosy.engine.plan.applied_plan import specs_missing_from_plan
from argosy.engine.process import lease, os_process
from argosy.engine.process.cooperative_yield import CooperativeYield
from argosy.engine.protocol.state_machine import FINAL_STATES, READY_STATES, State
from argosy.engine.state.event_log import REMOTE_STATE, EventLog
from argosy.engine.state.file_backups import FileBackups
from argosy.engine.state.generation import Ownership, StateDirOwnership
from argosy.engine.state.unit_state_store import UnitStateStore
from argosy.engine.unit.context import DependencyStatus, FailedDependency
from argosy.engine.unit.dependency_state import root_cause
from argosy.engine.unit.heartbeat import HeartbeatWatch
from argosy.engine.unit.notify_batcher import NotifyBatcher
from argosy.engine.unit.startup_fault_search import StartupFaultSearch
from argosy.engine.unit.unit import Unit
from argosy.fault import MissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from argosy.engine.peering.remote_agent import RemoteAgent
    from argosy.engine.plan.process_plan import ProcessPlan, ProcessSpec
    from argosy.engine.process.helper_process import HelperResult
    from argosy.engine.state.state_dir import StateDir
    from argosy.engine.state.tree_version import RecordedVersion
    from argosy.engine.unit.context import Dependency
    from argosy.fault import Fault


class UnitManager:
    """Owns the units, the launcher of their processes, and the records that outlive both.

    open_files: the soft limit of descriptors that agents get; the supervisor's own may be higher.
    on_unit_change(unit): called after every transition. on_ownership_lost(): another supervisor owns the
    state directory. on_state_dir_recreated(): the state directory was deleted, and is recreated.
    """

    def __init__(
        self, state_dir: StateDir, generation: int, loop: asyncio.AbstractEventLoop, open_files: int = 0
    ) -> None:
        self.state_dir = state_dir
        self.generation = generation
        self.loop = loop
        self.open_files = open_files
        self.boot_id = os_process.boot_id()
        self.listeners = PortOwners()
        self.notify_batcher = NotifyBatcher(loop)
        self.units: dict[str, Unit] = {}
        self.cells: dict[str, ManagedCell] = {}
        self._cell_units: dict[str, Unit] = {}
        self._ever_started: set[str] = set()
        self._leftover_gone = asyncio.Event()
        self.plan: ProcessPlan | None = None
        self.environ: dict[str, str] = dict(os.environ)
        self.on_unit_change: Callable[[Unit], None] = lambda _: None
        self.on_ownership_lost: Callable[[], None] = lambda: None
        self.on_state_dir_recreated: Callable[[], None] = lambda: None
        self._ownership = StateDirOwnership(state_dir, generation)
        self.file_backups = FileBackups()
        self.unit_states = UnitStateStore(state_dir, self._repair_if_reachable)
        self.unit_states.watch(loop)
        self.event_log = EventLog(state_dir.event_log, loop.call_soon)
        self._dependents: dict[str, list[str]] = {}
        self.noted_version: RecordedVersion | None = None
        self.remote_agents: dict[str, RemoteAgent] = {}
        # Agents of all machines by name; a unit of this machine hides a remote agent of its name.
        self.all_agents: Mapping[str, Dependency] = ChainMap[str, Any](self.units, self.remote_agents)
        self._startup_fault_search = StartupFaultSearch(
            loop, lambda command, within_s: self.launcher.run_engine_helper(command, within_s)
        )
        self._memory_history = MemoryHistory(state_dir.memory_history)
        self.launcher = ProcessLauncher(self)
        gpu = GpuMemoryWatch(loop, self.launcher.run_engine_helper, lambda: self._admission.schedule())
        self._admission = AdmissionQueue(
            loop, (self.units, self._cell_units), self._memory_history, gpu, self._on_wait_reason_change
        )
        self._log_keeper = LogKeeper(state_dir.logs_dir, loop)
        self._memory_sampler = MemorySampler(loop, self.process_units, self._on_memory_sample)
        self._heartbeat_watch = HeartbeatWatch(loop, self.units.values)

    # ---- units and plan

    def set_remote_agents(self, remote_agents: dict[str, RemoteAgent]) -> None:
        """Use this live mapping where an agent of another machine is needed."""
        self.remote_agents = remote_agents
        self.all_agents = ChainMap[str, Any](self.units, remote_agents)

    def set_plan(self, plan: ProcessPlan) -> None:
        """Apply `plan`: create units for new agents; existing units are changed by the rollout."""
        self.plan = plan
        self._log_keeper.set_limits(plan.logs)
        self.launcher.set_plan(plan)
        self.add_units(plan.processes, plan.cell_processes)
        self._admission.set_plan(plan)
        self._dependents = {name: [] for name in self.units}
        for name, spec in plan.processes.items():
            for need in spec.need_names():
                self._dependents.setdefault(need, []).append(name)

    def add_units(self, specs: Mapping[str, ProcessSpec], cell_units: Mapping[str, ProcessSpec]) -> None:
        """Create a unit for each of these that has none, or has a stopped one in another cell.

        cell_units: the processes of the cells by name, at least those of running cells.
        """
        for name, spec in cell_units.items():
            if name in self.cells:
                self.cells[name].set_spec(spec)
            else:
                cell = self.cells[name] = ManagedCell(name, spec, self)
                self._cell_units[spec.name] = cell.cell_unit
        for name, spec in specs.items():
            existing = self.units.get(name)
            if existing is not None and (existing.spec.cell == spec.cell or existing.has_process):
                continue
            if existing is not None:
                self.remove_unit(name)
            managed_cell = self.cells[spec.cell] if spec.cell is not None else None
            self.units[name] = (
                Unit(spec, self) if managed_cell is None else CellMember(spec, self, managed_cell)
            )

    def remove_unit(self, name: str) -> None:
        """Drop a unit that has left the fleet and has no process; empty cells are dropped as well."""
        unit = self.units.pop(name, None)
        if unit is not None:
            unit.close()
        for empty in [
            each for each in self.cells.values() if not each.members and not each.cell_unit.has_process
        ]:
            if self.plan is None or empty.name not in self.plan.cell_processes:
                del self._cell_units[empty.cell_unit.name]
                self.cells.pop(empty.name).close()

    def replace_unit(self, name: str) -> Unit:
        """Replace a unit that has no process any more by a new one from the plan; return it."""
        assert self.plan is not None, "a plan is in force"
        self.add_units({name: self.plan.processes[name]}, {})
        return self.units[name]

    def process_units(self) -> list[Unit]:
        """Return the units with a process of their own, and those of the cells."""
        own_process_units = [unit for unit in self.units.values() if not isinstance(unit, CellMember)]
        return [*own_process_units, *self._cell_units.values()]

    def dependents_of(self, name: str) -> list[Unit]:
        """Return the units that need `name` directly."""
        return [self.units[each] for each in self._dependents.get(name, ()) if each in self.units]

    def running_units(self) -> list[Unit]:
        """Return the units that have a process or are about to."""
        return [unit for unit in self.units.values() if unit.has_process]

    async def adopt_running(self) -> list[str]:
        """Adopt the running processes of an earlier supervisor; return the names.

        Yields to the event loop, since other agents may exit or report while a thousand are adopted.
        """
        cooperative_yield, running = CooperativeYield(), []
        for cell in list(self.cells.values()):
            cell.adopt_process()
            await cooperative_yield.yield_if_due()
        for name, unit in list(self.units.items()):
            if unit.has_process or self.adopt(unit):
                running.append(name)
            await cooperative_yield.yield_if_due()
        self._admission.count_running()
        return running

    def adopt_leftovers(self, *, is_new_state_dir: bool) -> None:
        """Terminate leftover processes of agents that exited while no supervisor ran.

        is_new_state_dir: the state directory was just created, so no lease is left: scan `/proc`.
        """
        process_units = {unit.name: unit for unit in self.process_units()}
        living = {name for name, unit in process_units.items() if unit.pid is not None}
        leftovers = find_leftovers(self.state_dir, living, is_new_state_dir=is_new_state_dir)
        self.add_units(
            specs_missing_from_plan(
                self.state_dir, [name for name in leftovers if name not in process_units]
            ).agents,
            {},
        )
        for name, pids in leftovers.items():
            self._ever_started.add(name)
            unit = process_units.get(name) or self.units[name]
            unit.adopt_leftovers(pids)

    async def wait_leftovers_gone(self) -> None:
        """Return once no leftover process remains; only this waits for those of a cell's process."""
        while any(unit.is_leftover for unit in self.process_units()):
            self._leftover_gone.clear()
            await self._leftover_gone.wait()

    def recreate_lost_leases(self) -> None:
        """Recreate the leases of agents that still run after the state directory was deleted."""
        adopted = {unit.name for unit in self.process_units() if unit.pid is not None}
        for name, identity in agents_by_proc(self.state_dir).items():
            if name not in adopted:
                self._rewrite_lease(name, identity, lease.new_incarnation())

    def repair_state_dir(self) -> bool:
        """Recreate the state directory if somebody deleted it while the fleet runs; return whether it was.

        Raises OSError, MissingError: it cannot be created.
        """
        match self._ownership.check():
            case Ownership.HELD:
                return False
            case Ownership.LOST:
                self.on_ownership_lost()
                return False
            case Ownership.RECREATED:
                self.event_log.append("state-dir-lost")
                self.event_log.reopen()
                self.event_log.append("state-dir-recreated")
                self.file_backups.restore()
                self.unit_states.restore()
                self.launcher.record_forkers()
                self._log_keeper.rewatch()
                for unit in self.process_units():
                    if unit.identity is not None:
                        self._rewrite_lease(unit.name, unit.identity, unit.incarnation)
                self.on_state_dir_recreated()
                return True

    def _repair_if_reachable(self) -> None:
        """Repair the state directory, unless clients cannot reach this supervisor any more.

        Then it belongs to the next supervisor.
        """
        if self.state_dir.control_socket.exists():
            with contextlib.suppress(OSError, MissingError):  # retried at the next start
                self.repair_state_dir()

    def _rewrite_lease(self, name: str, identity: os_process.ProcessIdentity, incarnation: int) -> None:
        descriptor = lease.open_lease(self.state_dir.lease_file(name))
        record = lease.LeaseRecord(self.boot_id, incarnation, identity, self.generation)
        try:
            lease.write_record(descriptor, record)
        finally:
            os.close(descriptor)

    # ---- what units ask (see UnitContext)

    def adopt(self, unit: Unit) -> bool:
        """Adopt the unit's process if the one recorded in its lease lives; return whether it does.

        The record decides, not the lock: an agent may have closed every descriptor.
        """
        record = lease.read_record(self.state_dir.lease_file(unit.name))
        if record is None or record.boot_id != self.boot_id:
            return False
        pidfd = os_process.open_process(record.identity)
        if pidfd is None:
            return False
        self._ever_started.add(unit.name)
        self.event_log.append("adopted", agent=unit.name, pid=record.identity.pid)
        unit.adopt(record.identity, pidfd, record.incarnation)
        with contextlib.suppress(OSError):  # the directory is being deleted
            started_s = lease.written_at(self.state_dir.lease_file(unit.name))
            log_mark = LogMark(started_s, unit.log_start, record.identity.pid)
            self._log_keeper.expect_adopted_output(self.state_dir.log_file(unit.name), log_mark)
        return True

    def dependency_status(self, unit: Unit) -> DependencyStatus:
        """Return which needs of `unit` are not ready yet, and which will not become ready."""
        waiting, failed = [], {}
        for name in unit.spec.need_names():
            other = self.all_agents.get(name)
            if other is None:
                failed[name] = FailedDependency(name, "it is not run by this machine")
            elif other.state in FINAL_STATES:
                failed[name] = root_cause(other, self.all_agents)
            elif not other.is_ready:
                waiting.append(name)
        return DependencyStatus(waiting, failed)

    def tree_version(self) -> str:
        """Return the recorded version of the tree, empty when none is recorded."""
        return self.noted_version.current_digest() if self.noted_version is not None else ""

    def request_admission(self, unit: Unit) -> None:
        """Queue the unit for admission; it starts by priority once resources allow."""
        with contextlib.suppress(OSError, MissingError):  # the start reports the error
            self.repair_state_dir()
        self._admission.request(unit)

    def spawn(self, unit: Unit, output: int) -> None:
        """Start the unit's process; takes ownership of the descriptor `output`."""
        self._ever_started.add(unit.name)
        self.launcher.spawn(unit, output)

    def mark_log_start(self, name: str, offset: int, pid: int) -> None:
        """Record where in the log of `name` the output of its new process begins."""
        self._log_keeper.expect_process_output(
            self.state_dir.log_file(name), LogMark(time.time(), offset, pid)
        )

    def had_process(self, name: str) -> bool:
        """Return whether a process of this name was requested or adopted before."""
        return name in self._ever_started

    async def run_helper(self, unit: Unit, command: Sequence[str], timeout_s: float) -> HelperResult:
        """Run a command in the unit's working directory and environment."""
        return await self.launcher.run_helper(unit, command, timeout_s)

    def forker_pids(self) -> set[int]:
        """Return the pids of the forker and of the zygotes."""
        return self.launcher.forker_pids()

    def was_oom_killed(self, unit: Unit) -> bool:
        """Return whether the kernel killed the unit's process for its `memory` limit."""
        return self.launcher.was_oom_killed(unit)

    def find_startup_fault(self, unit: Unit, on_result: Callable[[Fault | None], None]) -> None:
        """Search the unit's sources for a fault that prevents every start; `on_result` gets it, or None."""
        if self.plan is None:
            on_result(None)
        else:
            self._startup_fault_search.enqueue(self.plan.path, unit.spec, on_result)

    def drain_fork_events(self) -> None:
        """Process pending events of the forker; a pid still unknown afterwards is not the engine's."""
        self.launcher.drain_events()

    def on_transition(self, unit: Unit) -> None:
        """Log the transition and notify the observers."""
        self.event_log.append(
            "state",
            agent=unit.name,
            state=unit.state.value,
            pid=unit.pid,
            text=unit.reason,
            lines=unit.last_lines,
        )
        self.on_unit_change(unit)
        if unit.state is State.WAITING:
            self._reevaluate_blocked(unit.name)

    def _reevaluate_blocked(self, name: str) -> None:
        """Re-evaluate dependents that are blocked on this agent."""
        for other in self.dependents_of(name):
            if other.state is State.BLOCKED and other.desired_up:
                self.loop.call_soon(other.reevaluate_needs)

    def on_remote_change(self, remote_agent: RemoteAgent, before: State) -> None:
        """Handle a change of an agent of another machine."""
        if remote_agent.consume_change():
            self.event_log.append(
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
            self._reevaluate_blocked(remote_agent.name)

    def on_reachability_change(self, remote_agents: Iterable[RemoteAgent]) -> None:
        """Re-evaluate dependents of these agents: their machine connected, or did not connect in time."""
        for remote_agent in remote_agents:
            for other in self.dependents_of(remote_agent.name):
                if other.state in (State.WAITING, State.BLOCKED) and other.desired_up:
                    self.loop.call_soon(other.reevaluate_needs)

    def remote_dependents_of(self, name: str) -> list[RemoteAgent]:
        """Return the agents of other machines that need `name` directly."""
        return [each for each in self.remote_agents.values() if name in each.need_names()]

    def _on_wait_reason_change(self, unit: Unit) -> None:
        """Report why a start waits; the process of a cell has no status of its own."""
        if unit.name not in self._cell_units:
            self.on_transition(unit)

    def on_ready(self, unit: Dependency) -> None:
        """Start dependents that wait for this agent; clear the degraded state of those that lost it."""
        for other in self.dependents_of(unit.name):
            if other.state in (State.WAITING, State.BLOCKED) and other.desired_up:
                other.reevaluate_needs()
            elif unit.name in other.lost_needs:
                shall_restart = self._death_action(other, unit.name) == "restart" and other.desired_up
                other.on_need_restored(unit.name, shall_restart=shall_restart)
        self._admission.schedule()

    def on_unready(self, unit: Dependency) -> None:
        """Apply `on_death` to the running dependents of an agent that is no longer ready."""
        for other in self.dependents_of(unit.name):
            death_action = self._death_action(other, unit.name)
            if death_action == "wait" or not other.desired_up or not other.has_process:
                continue
            if death_action == "stop":
                other.restart()  # stops now; starts once its needs are ready again
            else:
                other.on_need_lost(unit.name)

    def on_final(self, unit: Dependency) -> None:
        """Block the waiting dependents of an agent that will not become ready by itself."""
        for other in self.dependents_of(unit.name):
            if other.state is State.WAITING:
                # Deferred: a chain of hundreds would recurse as deeply.
                self.loop.call_soon(other.reevaluate_needs)
        self._admission.schedule()

    def on_exit(self, unit: Unit) -> None:
        """Clean up after a unit's process has exited."""
        if not isinstance(unit, CellMember):
            self.launcher.remove_control_group(unit)
        self._leftover_gone.set()
        self._admission.schedule()

    @staticmethod
    def _death_action(unit: Unit, need: str) -> str:
        return next((each.on_death for each in unit.spec.needs if each.agent == need), "wait")

    def _on_memory_sample(self, unit: Unit) -> None:
        if unit.memory is not None and unit.pid is not None:
            self._memory_history.record_sample(unit.name, unit.pid, unit.memory.pss_bytes)
        for cell in self.cells.values():
            cell.share_memory()

    def close(self) -> None:
        """Release all resources; the agents keep running."""
        self._heartbeat_watch.close()
        self._memory_sampler.close()
        self._startup_fault_search.close()
        self._admission.close()
        self._log_keeper.close()
        self.launcher.close()
        for unit in self.units.values():
            unit.close()
        for cell in self.cells.values():
            cell.close()
        self.notify_batcher.close()
        self._ownership.close()
        self.unit_states.close()
        self.file_backups.close()
        self.event_log.close()
