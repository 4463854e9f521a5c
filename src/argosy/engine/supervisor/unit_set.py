"""All units of this machine, the services that they share, and the records that outlive them."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from typing import TYPE_CHECKING

from argosy.engine.admission.memory_sampler import MemoryHistory, MemorySampler
from argosy.engine.admission.queue import AdmissionQueue
from argosy.engine.cells.managed_cell import ManagedCell, SharedProcess
from argosy.engine.fork.launcher import ProcessLauncher
from argosy.engine.inventory.leftover_processes import agents_by_proc, find_leftovers
from argosy.engine.inventory.port_owners import PortOwners
from argosy.engine.logs.log_keeper import LogKeeper
from argosy.engine.plan.applied_plan import specs_missing_from_plan
from argosy.engine.process import lease, os_process
from argosy.engine.process.cooperative_yield import CooperativeYield
from argosy.engine.protocol.state_machine import State
from argosy.engine.state.event_log import EventLog
from argosy.engine.state.file_backups import FileBackups
from argosy.engine.state.generation import Ownership, StateDirOwnership
from argosy.engine.state.unit_state_store import UnitStateStore
from argosy.engine.supervisor.dependents import Dependents
from argosy.engine.unit.heartbeat import HeartbeatWatch
from argosy.engine.unit.notify_socket import NotifyBatcher
from argosy.engine.unit.process_backend import OwnProcess
from argosy.engine.unit.services import UnitServices
from argosy.engine.unit.unit import Unit
from argosy.fault import MissingError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from argosy.engine.plan.process_plan import ProcessPlan, ProcessSpec
    from argosy.engine.process.os_process import ProcessIdentity
    from argosy.engine.state.state_dir import StateDir


class UnitSet:
    """Owns the units and cells by name, and connects each with its services and its observer.

    open_files: the soft limit of descriptors that agents get; the supervisor's own may be higher.
    tree_version(): the version of the tree, empty when none is recorded.
    on_unit_change(unit): called after every transition. on_ownership_lost(): another supervisor owns the
    state directory. on_state_dir_recreated(): the state directory was deleted, and is recreated.
    plan: the plan applied last. environ: of the last apply.
    """

    def __init__(
        self,
        state_dir: StateDir,
        generation: int,
        loop: asyncio.AbstractEventLoop,
        open_files: int = 0,
        *,
        tree_version: Callable[[], str] = str,
        on_unit_change: Callable[[Unit], None] = lambda _: None,
        on_ownership_lost: Callable[[], None] = lambda: None,
        on_state_dir_recreated: Callable[[], None] = lambda: None,
    ) -> None:
        self.state_dir = state_dir
        self.generation = generation
        self.loop = loop
        self.open_files = open_files
        self.units: dict[str, Unit] = {}
        self.cells: dict[str, ManagedCell] = {}
        self.plan: ProcessPlan | None = None
        self.environ: dict[str, str] = dict(os.environ)
        self.event_log = EventLog(state_dir.event_log, loop.call_soon)
        self.launcher = ProcessLauncher(self)
        self.dependents = Dependents(loop, self.event_log, self.launcher, self.units, on_unit_change)
        self.file_backups = FileBackups()
        self.unit_states = UnitStateStore(state_dir, self._repair_if_reachable)
        self.unit_states.watch(loop)
        self._cell_units: dict[str, Unit] = {}  # the processes of the cells, by their own names
        self._ownership = StateDirOwnership(state_dir, generation)
        self._on_ownership_lost = on_ownership_lost
        self._on_state_dir_recreated = on_state_dir_recreated
        memory_history = MemoryHistory(state_dir.memory_history)
        self._admission = AdmissionQueue(
            loop, (self.units, self._cell_units), memory_history, self.launcher.run_engine_helper
        )
        self._log_keeper = LogKeeper(state_dir.logs_dir, loop)
        self._memory_sampler = MemorySampler(loop, self.processes, self._is_any_starting, memory_history)
        self._heartbeat_watch = HeartbeatWatch(loop, self.units.values)
        self._services = UnitServices(
            loop=loop,
            state_dir=state_dir,
            event_log=self.event_log,
            unit_states=self.unit_states,
            log_keeper=self._log_keeper,
            launcher=self.launcher,
            admission=self._admission,
            listeners=PortOwners(),
            notify_batcher=NotifyBatcher(loop),
            agents=self.dependents.agents,
            boot_id=os_process.boot_id(),
            ensure_state_dir=self._ensure_state_dir,
            tree_version=tree_version,
        )

    # ---- units and plan

    def set_plan(self, plan: ProcessPlan) -> None:
        """Apply `plan`: create units for new agents; existing units are changed by the rollout."""
        self.plan = plan
        self._log_keeper.set_limits(plan.logs)
        self.launcher.set_plan(plan)
        self.add_units(plan.processes, plan.cell_processes)
        self._admission.set_plan(plan)
        self.dependents.set_plan(plan)

    def add_units(self, specs: Mapping[str, ProcessSpec], cell_units: Mapping[str, ProcessSpec]) -> None:
        """Create a unit for each of these that has none, or has a stopped one in another cell.

        cell_units: the processes of the cells by name, at least those of running cells.
        """
        for name, spec in cell_units.items():
            if name in self.cells:
                self.cells[name].set_spec(spec)
            else:
                cell = self.cells[name] = ManagedCell(name, spec, self._services)
                self._cell_units[spec.name] = cell.process_unit
        for name, spec in specs.items():
            existing = self.units.get(name)
            if existing is not None and (existing.spec.cell == spec.cell or existing.has_process):
                continue
            if existing is not None:
                self.remove_unit(name)
            make_process = OwnProcess if spec.cell is None else partial(SharedProcess, self.cells[spec.cell])
            self.units[name] = Unit(spec, self._services, self.dependents, make_process)

    def remove_unit(self, name: str) -> None:
        """Drop a unit that has left the fleet and has no process; empty cells are dropped as well."""
        unit = self.units.pop(name, None)
        if unit is not None:
            unit.close()
        for empty in [
            each for each in self.cells.values() if not each.members and not each.process_unit.has_process
        ]:
            if self.plan is None or empty.name not in self.plan.cell_processes:
                del self._cell_units[empty.process_unit.name]
                self.cells.pop(empty.name).close()

    def replace_unit(self, name: str) -> Unit:
        """Replace a unit that has no process any more by a new one from the plan; return it."""
        assert self.plan is not None, "a plan is in force"
        self.add_units({name: self.plan.processes[name]}, {})
        return self.units[name]

    def process_unit(self, unit: Unit) -> Unit:
        """Return the unit whose process this one runs in: its cell's, or itself."""
        return unit if unit.spec.cell is None else self.cells[unit.spec.cell].process_unit

    def _process_units(self) -> list[Unit]:
        """Return the units with a process of their own, and those of the cells."""
        own = [unit for unit in self.units.values() if not unit.process.is_shared]
        return [*own, *self._cell_units.values()]

    def processes(self) -> list[OwnProcess]:
        """Return the processes of the agents and of the cells."""
        found = (unit.process for unit in self._process_units())
        return [process for process in found if isinstance(process, OwnProcess)]

    def running_units(self) -> list[Unit]:
        """Return the units that have a process or are about to."""
        return [unit for unit in self.units.values() if unit.has_process]

    def _is_any_starting(self) -> bool:
        return any(unit.state is State.STARTING and unit.pid is not None for unit in self._process_units())

    # ---- processes of an earlier supervisor

    async def adopt_running(self) -> list[str]:
        """Adopt the running processes of an earlier supervisor; return the names.

        Yields to the event loop, since other agents may exit or report while a thousand are adopted.
        """
        cooperative_yield, running = CooperativeYield(), []
        for cell in list(self.cells.values()):
            cell.adopt_process()
            await cooperative_yield.yield_if_due()
        for name, unit in list(self.units.items()):
            if unit.has_process or unit.process.adopt_survivor():
                running.append(name)
            await cooperative_yield.yield_if_due()
        self._admission.count_running()
        return running

    def adopt_leftovers(self, *, is_new_state_dir: bool) -> None:
        """Terminate leftover processes of agents that exited while no supervisor ran.

        is_new_state_dir: the state directory was just created, so no lease is left: scan `/proc`.
        """
        process_units = {unit.name: unit for unit in self._process_units()}
        living = {name for name, unit in process_units.items() if unit.pid is not None}
        leftovers = find_leftovers(self.state_dir, living, is_new_state_dir=is_new_state_dir)
        self.add_units(
            specs_missing_from_plan(
                self.state_dir, [name for name in leftovers if name not in process_units]
            ).agents,
            {},
        )
        for name, pids in leftovers.items():
            unit = process_units.get(name) or self.units[name]
            unit.adopt_leftovers(pids)

    async def wait_leftovers_gone(self) -> None:
        """Return once no leftover process remains; only this waits for those of a cell's process."""
        for unit in self._process_units():
            await unit.leftovers_gone.wait()

    # ---- the state directory

    def recreate_lost_leases(self) -> None:
        """Recreate the leases of agents that still run after the state directory was deleted."""
        adopted = {process.name for process in self.processes() if process.pid is not None}
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
                self._on_ownership_lost()
                return False
            case Ownership.RECREATED:
                self.event_log.append("state-dir-lost")
                self.event_log.reopen()
                self.event_log.append("state-dir-recreated")
                self.file_backups.restore()
                self.unit_states.restore()
                self.launcher.record_forkers()
                self._log_keeper.rewatch()
                for process in self.processes():
                    if process.identity is not None:
                        self._rewrite_lease(process.name, process.identity, process.incarnation)
                self._on_state_dir_recreated()
                return True

    def _ensure_state_dir(self) -> None:
        """Repair the state directory before a start, which reports what it still lacks."""
        with contextlib.suppress(OSError, MissingError):
            self.repair_state_dir()

    def _repair_if_reachable(self) -> None:
        """Repair the state directory, unless clients cannot reach this supervisor any more.

        Then it belongs to the next supervisor.
        """
        if self.state_dir.control_socket.exists():
            self._ensure_state_dir()

    def _rewrite_lease(self, name: str, identity: ProcessIdentity, incarnation: int) -> None:
        descriptor = lease.open_lease(self.state_dir.lease_file(name))
        record = lease.LeaseRecord(self._services.boot_id, incarnation, identity, self.generation)
        try:
            lease.write_record(descriptor, record)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Release all resources; the agents keep running."""
        self._heartbeat_watch.close()
        self._memory_sampler.close()
        self.dependents.close()
        self._admission.close()
        self._log_keeper.close()
        self.launcher.close()
        for unit in self.units.values():
            unit.close()
        for cell in self.cells.values():
            cell.close()
        self._services.notify_batcher.close()
        self._ownership.close()
        self.unit_states.close()
        self.file_backups.close()
        self.event_log.close()
