"""All units of this machine: who waits for whom, who runs, what an end means to the others.

The crew connects the units; it decides nothing about one unit that the unit can decide alone.
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
from argosy.engine.explain.startup_fault_search import StartupFaultSearch
from argosy.engine.fork.launcher import ProcessLauncher
from argosy.engine.logs.log_file import LogMark
from argosy.engine.logs.log_keeper import LogKeeper
from argosy.engine.process import lease, os_process
from argosy.engine.process.leftover_processes import agents_by_proc, find_leftovers
from argosy.engine.process.port_owners import PortOwners
from argosy.engine.state.applied_plan import specs_missing_from_plan
from argosy.engine.state.event_log import REMOTE_STATE, EventLog
from argosy.engine.state.file_backups import FileBackups
from argosy.engine.state.ownership import Ownership, StateDirOwnership
from argosy.engine.state.unit_state_store import UnitStateStore
from argosy.engine.supervisor.cooperative_yield import CooperativeYield
from argosy.engine.unit.context import DependencyStatus, FailedDependency
from argosy.engine.unit.dependency_state import root_cause
from argosy.engine.unit.heartbeat import HeartbeatWatch
from argosy.engine.unit.notify_batcher import NotifyBatcher
from argosy.engine.unit.state_machine import FINAL_STATES, READY_STATES, State
from argosy.engine.unit.unit import Unit
from argosy.fault import MissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from argosy.engine.deploy.tree_version import RecordedVersion
    from argosy.engine.peering.remote_agent import RemoteAgent
    from argosy.engine.process.helper_process import HelperResult
    from argosy.engine.state.state_dir import StateDir
    from argosy.engine.unit.context import Dependency
    from argosy.engine.unit.process_plan import ProcessPlan, ProcessSpec
    from argosy.fault import Fault


class UnitManager:
    """The units, the nursery that bears their processes, the records that outlive both.

    open_files: the soft limit of descriptors that agents get; the supervisor's own may be higher.
    on_change(unit): called after every transition. on_dethroned(): another supervisor rules the folder.
    on_renewed(): the state folder was deleted, and is made anew.
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
        # By name, whoever is here or elsewhere; a unit here has its name to itself.
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

    # ---- what it holds

    def set_remote_agents(self, remote_agents: dict[str, RemoteAgent]) -> None:
        """Look at these, as they are at each time, where an agent of another machine is needed."""
        self.remote_agents = remote_agents
        self.all_agents = ChainMap[str, Any](self.units, remote_agents)

    def set_plan(self, plan: ProcessPlan) -> None:
        """Make `plan` the one in force: new units for new agents; known ones are left to the change."""
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
        """Make a unit for each of these that has none, or one in another cell that does not run.

        hulls: the processes of the cells by name, those of running cells at least.
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
        """Drop a unit that is no more part of the fleet and has no process; and a cell with nobody in it."""
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
        """Put a unit by the plan in the place of one that has no process any more; return it."""
        assert self.plan is not None, "a plan is in force"
        self.add_units({name: self.plan.processes[name]}, {})
        return self.units[name]

    def process_units(self) -> list[Unit]:
        """Return the units with a process of their own, those of cells among them."""
        own_process_units = [unit for unit in self.units.values() if not isinstance(unit, CellMember)]
        return [*own_process_units, *self._cell_units.values()]

    def dependents_of(self, name: str) -> list[Unit]:
        """Return the units that need `name` directly."""
        return [self.units[each] for each in self._dependents.get(name, ()) if each in self.units]

    def running_units(self) -> list[Unit]:
        """Return the units that have a process or are about to."""
        return [unit for unit in self.units.values() if unit.has_process]

    async def adopt_running(self) -> list[str]:
        """Take over what an earlier supervisor started and still runs; return the names.

        The loop turns meanwhile: of a thousand each second one may end, or say how it is.
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
        """End what is left of agents that ended while no supervisor was there. is_new: the folder is."""
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
        """Return once nothing is left of those; of a cell's process nobody else waits for that."""
        while any(unit.is_leftover for unit in self.process_units()):
            self._leftover_gone.clear()
            await self._leftover_gone.wait()

    def recreate_lost_leases(self) -> None:
        """Make leases anew for what runs although the state folder was deleted, and is not adopted."""
        adopted = {unit.name for unit in self.process_units() if unit.pid is not None}
        for name, identity in agents_by_proc(self.state_dir).items():
            if name not in adopted:
                self._rewrite_lease(name, identity, lease.new_incarnation())

    def repair_state_dir(self) -> bool:
        """Make the state folder anew when somebody has deleted it under the running fleet; return whether.

        Raises OSError, MissingError: it cannot be made.
        """
        match self._ownership.check():
            case Ownership.HELD:
                return False
            case Ownership.LOST:
                self.on_ownership_lost()
                return False
            case Ownership.RECREATED:
                self.event_log.append("folder-lost")
                self.event_log.reopen()
                self.event_log.append("folder-made")
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
        """Mend the folder, unless clients cannot come here any more: then the next supervisor has it."""
        if self.state_dir.control_socket.exists():
            with contextlib.suppress(OSError, MissingError):  # tried again at the next start
                self.repair_state_dir()

    def _rewrite_lease(self, name: str, identity: os_process.ProcessIdentity, incarnation: int) -> None:
        descriptor = lease.open_lease(self.state_dir.lease_file(name))
        record = lease.LeaseRecord(self.boot_id, incarnation, identity, self.generation)
        try:
            lease.write_record(descriptor, record)
        finally:
            os.close(descriptor)

    # ---- what units ask (see Surroundings)

    def adopt(self, unit: Unit) -> bool:
        """Take over the unit's process if the one recorded in its lease lives; return whether it does.

        The record decides, not the lock: an agent may have closed every descriptor it had.
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
        with contextlib.suppress(OSError):  # somebody deletes the folder
            started_s = lease.written_at(self.state_dir.lease_file(unit.name))
            log_mark = LogMark(started_s, unit.log_start, record.identity.pid)
            self._log_keeper.expect_adopted_output(self.state_dir.log_file(unit.name), log_mark)
        return True

    def dependency_status(self, unit: Unit) -> DependencyStatus:
        """Return what `unit` still waits for, and what of it will not come."""
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
        """Return the version of the tree as it is noted now, empty where none is."""
        return self.noted_version.current_digest() if self.noted_version is not None else ""

    def request_admission(self, unit: Unit) -> None:
        """Let the unit start in its turn, by what hangs on it, once there is room."""
        with contextlib.suppress(OSError, MissingError):  # the start says why it cannot be
            self.repair_state_dir()
        self._admission.request(unit)

    def spawn(self, unit: Unit, output: int) -> None:
        """Have the unit's process forked; takes over the descriptor `output`."""
        self._ever_started.add(unit.name)
        self.launcher.spawn(unit, output)

    def mark_log_start(self, name: str, offset: int, pid: int) -> None:
        """Have readers know where in the log of `name` the output of its new process begins."""
        self._log_keeper.expect_process_output(
            self.state_dir.log_file(name), LogMark(time.time(), offset, pid)
        )

    def had_process(self, name: str) -> bool:
        """Return whether a process of this name was ordered or adopted here before."""
        return name in self._ever_started

    async def run_helper(self, unit: Unit, command: Sequence[str], timeout_s: float) -> HelperResult:
        """Run a command in the unit's folder and environment."""
        return await self.launcher.run_helper(unit, command, timeout_s)

    def forker_pids(self) -> set[int]:
        """Return the process numbers of the forker and of the zygotes."""
        return self.launcher.forker_pids()

    def was_oom_killed(self, unit: Unit) -> bool:
        """Return whether the kernel killed the unit's process for its `memory`."""
        return self.launcher.was_oom_killed(unit)

    def find_startup_fault(self, unit: Unit, on_result: Callable[[Fault | None], None]) -> None:
        """Have the unit's sources read, and call `then` with what stops every start of it."""
        if self.plan is None:
            on_result(None)
        else:
            self._startup_fault_search.enqueue(self.plan.path, unit.spec, on_result)

    def drain_fork_events(self) -> None:
        """Take what the forker has told: a pid that is unknown now is not the engine's."""
        self.launcher.drain_events()

    def on_transition(self, unit: Unit) -> None:
        """Tell everyone who listens."""
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
        """Let those hope again that were blocked by this one."""
        for other in self.dependents_of(name):
            if other.state is State.BLOCKED and other.desired_up:
                self.loop.call_soon(other.reevaluate_needs)

    def on_remote_change(self, remote_agent: RemoteAgent, before: State) -> None:
        """An agent of another machine has changed, as far as this one knows."""
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
        """The machine of these has come into sight, or was waited for in vain: judge who needs them."""
        for remote_agent in remote_agents:
            for other in self.dependents_of(remote_agent.name):
                if other.state in (State.WAITING, State.BLOCKED) and other.desired_up:
                    self.loop.call_soon(other.reevaluate_needs)

    def remote_dependents_of(self, name: str) -> list[RemoteAgent]:
        """Return the agents of other machines that need `name` directly."""
        return [each for each in self.remote_agents.values() if name in each.need_names()]

    def _on_wait_reason_change(self, unit: Unit) -> None:
        """Tell why a start waits; of a cell's process nobody has heard."""
        if unit.name not in self._cell_units:
            self.on_transition(unit)

    def on_ready(self, unit: Dependency) -> None:
        """An agent is ready: who waited for it may start, who missed it is whole again."""
        for other in self.dependents_of(unit.name):
            if other.state in (State.WAITING, State.BLOCKED) and other.desired_up:
                other.reevaluate_needs()
            elif unit.name in other.lost_needs:
                shall_restart = self._death_action(other, unit.name) == "restart" and other.desired_up
                other.on_need_restored(unit.name, shall_restart=shall_restart)
        self._admission.schedule()

    def on_unready(self, unit: Dependency) -> None:
        """A ready agent is ready no more: its running dependents do what their `on_death` says."""
        for other in self.dependents_of(unit.name):
            death_action = self._death_action(other, unit.name)
            if death_action == "wait" or not other.desired_up or not other.has_process:
                continue
            if death_action == "stop":
                other.restart()  # ends now; starts again when what it needs is ready again
            else:
                other.on_need_lost(unit.name)

    def on_final(self, unit: Dependency) -> None:
        """An agent will not come by itself any more: who waits for it is blocked."""
        for other in self.dependents_of(unit.name):
            if other.state is State.WAITING:
                # Not at once: a chain of hundreds would be as many calls deep.
                self.loop.call_soon(other.reevaluate_needs)
        self._admission.schedule()

    def on_exit(self, unit: Unit) -> None:
        """A unit's process is gone."""
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
        """Let everything go; the agents run on."""
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
