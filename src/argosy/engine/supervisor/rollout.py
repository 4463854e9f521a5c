"""Carries out changes with the units: apply a fleet, restart agents, stop agents.

`supervisor` decides who may change what, and when.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from argosy.engine.cells.managed_cell import with_cell_members
from argosy.engine.plan.applied_plan import AppliedPlan, stage_applied_plan, write_fleet_address_book
from argosy.engine.plan.cell_plan import write_cell_manifests
from argosy.engine.plan.peering_plan import plan_peering
from argosy.engine.plan.process_plan import ProcessPlan, plan_fleet
from argosy.engine.process import descriptors
from argosy.engine.protocol.messages import Apply, ApplySummary, Restarted, Stopped
from argosy.engine.state.file_identity import identify_file
from argosy.engine.supervisor.apply_summary import describe_not_ready, summarize_apply
from argosy.engine.supervisor.plan_diff import PlanDiff, RunningAgent, diff_plan, select_scope
from argosy.engine.supervisor.rollout_steps import OrderedStop, SettleWaiter
from argosy.fault import Fault, InputError, MissingError, RefusedError
from argosy.fleet.dependency_graph import Graph, build_graph, graph_from_edges
from argosy.fleet.environments import local_machines, place
from argosy.fleet.quantities import format_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from argosy.engine.peering.peer_set import PeerSet
    from argosy.engine.state.state_dir import StateDir
    from argosy.engine.supervisor.unit_set import UnitSet
    from argosy.engine.unit.dependency_state import Dependency
    from argosy.engine.unit.unit import Unit
    from argosy.fleet.fleet_spec import Fleet
    from argosy.fleet.placement import Placement

_RESTART_TIMEOUT_S = 300.0


class ApplyPlan(NamedTuple):
    """An apply that has been checked and persisted.

    scope: the agents of this machine that it starts; remote_scope: those of peer machines. skip: agents left
    out on request, with the reason. started_at: loop time of the request. apply_id: identifies the apply
    on all machines.
    """

    plan: ProcessPlan
    scope: list[str]
    remote_scope: list[str]
    skip: dict[str, str]
    change: PlanDiff
    timeout_s: float
    started_at: float
    apply_id: str


class Rollout:
    """Carries out one change at a time; a stop interrupts the change in progress.

    graph: the dependency graph of the applied fleet.
    """

    def __init__(self, unit_set: UnitSet, peers: PeerSet) -> None:
        self._unit_set = unit_set
        self._peers = peers
        self._state_dir, self._loop = unit_set.state_dir, unit_set.loop
        self.graph: Graph = graph_from_edges({})
        self._waiter: SettleWaiter | None = None
        self._pending_machines: set[str] = set()
        self._ordered_stops: set[OrderedStop] = set()
        self._stop_count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def on_transition(self, unit: Dependency) -> None:
        """Advance the waiters and stops that involve this agent; called during each transition."""
        if self._waiter is not None:
            self._waiter.on_transition(unit)
        for stop in list(self._ordered_stops):
            self._loop.call_soon(stop.on_transition, unit)  # after the transition

    def on_machine_done(self, machine: str) -> None:
        """Another machine has finished its part of the running apply, or is unreachable."""
        self._pending_machines.discard(machine)
        if self._waiter is not None:
            self._waiter.on_machine_done(machine)

    def recheck_attended(self) -> None:
        """A client disconnected: check whether the running change is still waited for."""
        if self._waiter is not None:
            self._waiter.recheck_attended()

    # ---- up

    async def prepare(self, request: Apply, pid: int) -> ApplyPlan:
        """Compute the change for the client `pid` and persist the plan that is about to apply.

        Yields to the event loop, because planning a thousand agents takes a while.

        Raises ArgosyError: the fleet cannot be placed or planned here, the plan cannot be written, or a
        stop was requested meanwhile; nothing has been changed then.
        """
        started_at, stops = self._loop.time(), self._stop_count
        fleet = request.fleet
        variables = {name: os.fsdecode(value) for name, value in request.environ.items()}
        placement = place(fleet, request.environment, variables)
        machines = local_machines(placement, request.machine, variables)
        await asyncio.sleep(0)
        plan = plan_fleet(fleet, placement, machines, self._state_dir)
        await asyncio.sleep(0)
        if self._stop_count != stops:
            raise RefusedError(Fault("", "stopped", "`argosy down` came before anything was started"))
        peering_plan = plan_peering(fleet, placement, machines)
        remote_agents = peering_plan.agents if peering_plan else {}
        everywhere = select_scope(plan, request.only, request.skip, remote_agents)
        scope = [name for name in everywhere if name in plan.processes]
        self._check_descriptors(fleet, scope)
        self._peers.configure(peering_plan)
        running = {
            unit.name: RunningAgent(unit.running_digest, unit.spec.cell)
            for unit in self._unit_set.running_units()
            if not (unit.is_leftover and unit.name in plan.processes)
        }
        change = diff_plan(running, plan, scope)
        self._persist(request, placement, plan, sorted(name or "" for name in machines), change)
        self.graph = build_graph(fleet)
        self._unit_set.environ = variables
        self._unit_set.event_log.append(
            "apply", text=f"{len(scope)} of {len(plan.declared)} agents, pid {pid}"
        )
        remote_scope = [name for name in everywhere if name in remote_agents]
        return ApplyPlan(
            plan, scope, remote_scope, request.skip, change, request.timeout_s, started_at, request.apply_id
        )

    async def execute(
        self, apply_plan: ApplyPlan, machines: Iterable[str], is_unattended: Callable[[], bool]
    ) -> ApplySummary:
        """Apply the plan, and return the summary once the fleet has settled or the time-out is over.

        machines: the peers that take part; the apply has settled when `on_machine_done` was called for each.
        is_unattended(): nobody waits for the result any more, so return as soon as everything is begun;
        evaluated again at `recheck_attended`.
        """
        self._pending_machines = set(machines)
        with self._in_progress():
            in_time = await self._converge(apply_plan, is_unattended)
        summary = summarize_apply(
            apply_plan.plan,
            self.graph,
            self._unit_set.units,
            self._peers.remote_agents,
            {*apply_plan.scope, *apply_plan.remote_scope},
            apply_plan.skip,
            apply_plan.change.adopted,
            apply_plan.started_at,
            self._loop.time(),
            interrupted=in_time is None,
        )
        if summary.interrupted:
            reasons = dict.fromkeys(summary.not_ready, "stopped by `argosy down`")
            summary = msgspec.structs.replace(summary, not_ready=reasons, blocked_by={})
        self._log_summary(summary)
        return summary

    def _check_descriptors(self, fleet: Fleet, scope: Iterable[str]) -> None:
        """Raise MissingError when the descriptor limit of this process is too low for these agents."""
        wanted = set(scope)
        others = sum(unit.name not in wanted for unit in self._unit_set.running_units())
        descriptors.raise_soft_limit()
        if fault := descriptors.descriptor_shortage([fleet.agents[name] for name in wanted], others):
            raise MissingError(fault)

    def _persist(
        self, request: Apply, placement: Placement, plan: ProcessPlan, machines: list[str], change: PlanDiff
    ) -> None:
        """Write the applied plan and the address book for the agents and for the next supervisor.

        Raises RefusedError: the files on disk are outdated and cannot be written. Nothing was changed.
        """
        stopping = {name: self._unit_set.units[name].spec for name in change.stop}
        cell_units = {
            name: cell.process_unit.spec for name, cell in self._unit_set.cells.items()
        } | plan.cell_processes
        try:
            self._unit_set.repair_state_dir()
            write_cell_manifests(self._state_dir, plan)
            applied_plan = AppliedPlan(
                plan=plan,
                machines=machines,
                stopping=stopping,
                cell_processes=cell_units,
                peering=self._peers.plan,
                fleet_file=identify_file(plan.path, request.file_digest),
            )
            draft = stage_applied_plan(self._state_dir, applied_plan)
            write_fleet_address_book(self._state_dir, request.fleet, placement, machines)
            if draft is not None:
                os.replace(draft, self._state_dir.applied_plan)
            self._unit_set.file_backups.hold(self._state_dir.applied_plan, self._state_dir.address_book)
        except OSError as error:
            raise _write_error(self._state_dir, error) from error

    async def _converge(self, apply_plan: ApplyPlan, is_unattended: Callable[[], bool]) -> bool | None:
        """Return whether all agents settled in time; None when interrupted."""
        units, plan, change = self._unit_set.units, apply_plan.plan, apply_plan.change
        self._unit_set.set_plan(plan)
        dependencies: list[Dependency] = [units[name] for name in apply_plan.scope]
        if self._pending_machines:
            dependencies += [self._peers.remote_agents[name] for name in apply_plan.remote_scope]
        waiter = self._waiter = SettleWaiter(dependencies, self._pending_machines, is_unattended)
        try:
            await asyncio.sleep(0)
            await self._stop_units([units[name] for name in (*change.stop, *change.move)])
            for name in [name for name in units if name not in plan.processes]:
                self._unit_set.remove_unit(name)
            for name in change.move:
                waiter.replace_unit(self._unit_set.replace_unit(name))
            if not waiter.is_interrupted:
                self._start_units(change, plan, apply_plan.apply_id)
            in_time = await waiter.wait(apply_plan.timeout_s)
        finally:
            self._waiter = None
        if waiter.is_interrupted:
            return None
        if not in_time:
            unsettled = [units[agent.name] for agent in waiter.unsettled() if agent.name in units]
            await self._stop_unsettled(unsettled, apply_plan.timeout_s)
        return in_time

    def _start_units(self, change: PlanDiff, plan: ProcessPlan, apply_id: str) -> None:
        for name in {*change.restart, *change.start, *change.adopted, *change.move}:
            self._unit_set.units[name].apply_id = apply_id
        for name in change.restart:
            self._unit_set.units[name].restart(plan.processes[name])
        names = {*change.start, *change.adopted, *change.move}
        for name in names:
            self._unit_set.units[name].set_spec(plan.processes[name])
        # Dependencies first, so that an agent never sees a need that was not told to start yet.
        for name in self.graph.start_order():
            if name in names:
                self._unit_set.units[name].start()

    async def _stop_unsettled(self, units: list[Unit], timeout_s: float) -> None:
        """Stop the agents that are not ready at the time-out of the apply."""
        reasons = {
            unit.name: f"was {describe_not_ready(unit)} when the {timeout_s:.0f} s of this start were over"
            + (
                f"; restarted {format_count(unit.restarts, 'time')}, the last: {unit.last_failure}"
                if unit.last_failure
                else ""
            )
            for unit in units
        }
        await self._stop_units(units)
        for unit in units:
            unit.reason = reasons[unit.name]

    def _log_summary(self, summary: ApplySummary) -> None:
        text = f"{len(summary.ready)} ready, {len(summary.not_ready)} not, {len(summary.left_out)} left out"
        self._unit_set.event_log.append("apply-summary", text=f"{text}, {summary.seconds:.2f} s")

    @contextlib.contextmanager
    def _in_progress(self) -> Iterator[None]:
        """Make stops wait while the body runs."""
        self._idle.clear()
        try:
            yield
        finally:
            self._idle.set()

    # ---- restart, stop

    async def restart(self, names: Iterable[str], is_unattended: Callable[[], bool]) -> Restarted:
        """Restart agents and their dependents by `on_death`; return once all have settled.

        is_unattended(): as in `execute`.
        Raises InputError: an agent does not run on this machine.
        """
        started_at = self._loop.time()
        named = self._find_units(names)
        units = with_cell_members(named, self._unit_set.cells)
        cell_members = [unit for unit in units if unit not in named]
        touched = self._restart_closure(units)
        waiter = self._waiter = SettleWaiter(touched, is_unattended=is_unattended)
        listed = ", ".join(unit.name for unit in named)
        self._unit_set.event_log.append("restart", text=listed)
        with self._in_progress():
            for unit in named:
                unit.restart()
            try:
                await waiter.wait(_RESTART_TIMEOUT_S)
            finally:
                self._waiter = None
                self._unit_set.event_log.append("restart-finished", text=listed)
        reconnected = {other.name for unit in touched for other in self._unit_set.dependents.of(unit.name)}
        return Restarted(
            restarted=sorted(unit.name for unit in touched if unit.is_ready),
            not_ready={unit.name: describe_not_ready(unit) for unit in touched if not unit.is_ready},
            reconnected=sorted(reconnected - {unit.name for unit in touched}),
            restarted_with_cell=_by_cell(cell_members),
            seconds=self._loop.time() - started_at,
        )

    def _restart_closure(self, units: Iterable[Unit]) -> set[Unit]:
        """Return these units and all that restart with them, by their `on_death`."""
        found: set[Unit] = set()
        stack = list(units)
        while stack:
            unit = stack.pop()
            if unit not in found:
                found.add(unit)
                dependents = self._unit_set.dependents.of(unit.name)
                following = [
                    other
                    for other in dependents
                    if other.desired_up and other.spec.on_death_of(unit.name) in ("restart", "stop")
                ]
                stack += with_cell_members(following, self._unit_set.cells)
        return found

    async def stop(
        self, names: Iterable[str] | None, *, force: bool, stopping_elsewhere: Iterable[str] = ()
    ) -> Stopped:
        """Interrupt the running change, then stop these agents (None: all), each before its dependencies.

        stopping_elsewhere: agents that other machines are stopping at the same time.
        Raises InputError: an agent does not run on this machine.
        """
        started_at = self._loop.time()
        self._stop_count += 1
        every = list(self._unit_set.units.values())
        units = every if names is None else with_cell_members(self._find_units(names), self._unit_set.cells)
        running = [unit for unit in units if unit.has_process]
        for unit in running if force else ():
            unit.kill()
        if self._waiter is not None:
            self._waiter.interrupt()
        await self._idle.wait()
        still_running = await self._stop_units(
            [unit for unit in units if unit.name in self._unit_set.units], stopping_elsewhere
        )
        return Stopped(
            stopped=[unit.name for unit in running if unit not in still_running],
            killed=[unit.name for unit in running if unit.was_killed and unit not in still_running],
            seconds=self._loop.time() - started_at,
            still_running={
                unit.name: f"{unit.reason}; a kill has not ended it (pid {unit.pid})"
                for unit in still_running
            },
        )

    async def _stop_units(self, units: Iterable[Unit], stopping_elsewhere: Iterable[str] = ()) -> list[Unit]:
        """Stop these units; return those that are still running afterwards."""
        stop = OrderedStop(units, self._unit_set.dependents, stopping_elsewhere)
        self._ordered_stops.add(stop)
        try:
            await stop.run()
            return stop.still_running()
        finally:
            self._ordered_stops.discard(stop)

    def _find_units(self, names: Iterable[str]) -> list[Unit]:
        """Return the units with these names.

        Raises InputError: an agent does not run on this machine.
        """
        names = list(names)
        unknown = [name for name in names if name not in self._unit_set.units]
        if unknown:
            raise InputError(
                *(
                    Fault(name, "unknown-agent", f"no agent `{name}` runs here", "`argosy status` lists them")
                    for name in unknown
                )
            )
        return [self._unit_set.units[name] for name in names]


def _by_cell(units: Iterable[Unit]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for unit in units:
        found.setdefault(unit.spec.cell or "", []).append(unit.name)
    return found


def _write_error(state_dir: StateDir, error: OSError) -> RefusedError:
    message = f"the plan of the fleet cannot be written: {error.strerror}; nothing was changed"
    return RefusedError(
        Fault(
            str(state_dir.path),
            "state-folder",
            message,
            "free some disk space, then run `argosy up` again",
        )
    )
