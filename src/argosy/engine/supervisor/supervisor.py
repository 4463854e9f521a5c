"""The supervisor: serves the requests of clients, and starts one change of the fleet at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from argosy.engine.inventory.leftover_processes import agents_by_lease
from argosy.engine.peering.federation import Federation, run_relayed_command
from argosy.engine.peering.peer_set import PeerSet
from argosy.engine.plan.applied_plan import load_applied_plan, specs_missing_from_plan
from argosy.engine.process.cooperative_yield import CooperativeYield
from argosy.engine.process.descriptors import DescriptorReserve
from argosy.engine.protocol.messages import (
    PROTOCOL,
    AgentStateChanged,
    Apply,
    ClientHello,
    GetStatus,
    InjectFault,
    MachineStatus,
    MachineStatusChanged,
    MarkMachineFailed,
    Refused,
    RelayCommand,
    Restart,
    Restarted,
    ResumeProcess,
    ServerHello,
    Shutdown,
    ShuttingDown,
    Stop,
    Stopped,
    Subscribe,
)
from argosy.engine.protocol.state_machine import FINAL_STATES, State
from argosy.engine.state.tree_version import RecordedVersion
from argosy.engine.supervisor.change_lock import ChangeLock
from argosy.engine.supervisor.fault_injection import FaultInjector
from argosy.engine.supervisor.hub_process import HubProcess
from argosy.engine.supervisor.rollout import Rollout
from argosy.engine.supervisor.status_report import agent_status, agent_statuses, fleet_status
from argosy.engine.supervisor.unit_set import UnitSet
from argosy.fault import ArgosyError, Fault, MissingError, RefusedError
from argosy.fleet.dependency_graph import graph_from_edges

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from argosy.engine.control.control_server import ClientSession, ControlSession
    from argosy.engine.peering.peer_connection import PeerConnection
    from argosy.engine.peering.remote_agent import RemoteAgent
    from argosy.engine.plan.peering_plan import PeeringPlan
    from argosy.engine.protocol.messages import AgentStatus, ControlMessage, ControlRequest
    from argosy.engine.state.state_dir import StateDir
    from argosy.engine.unit.unit import Unit

# A supervisor that never received a request exits after this.
_UNUSED_TIMEOUT_S = 10.0


class SupervisorConfig(NamedTuple):
    """What a supervisor serves.

    fleet_path: the fleet file on this machine. is_persistent: stay up when no agent runs, so that other
    machines can connect, and start again what was running when the machine went down.
    peering_plan: the machines to connect to; None takes the plan of the supervisor before.
    """

    fleet_path: str
    is_persistent: bool = False
    peering_plan: PeeringPlan | None = None


class Supervisor:
    """Handles every client request on top of one `UnitSet`.

    Changes run one at a time: while one is in progress, another is refused with the name of its client.
    A stop takes precedence: it interrupts the running change, and no change begins until the stop is done.
    """

    def __init__(
        self,
        state_dir: StateDir,
        generation: int,
        loop: asyncio.AbstractEventLoop,
        open_files: int,
        config: SupervisorConfig,
    ) -> None:
        self.started_s = time.time()
        self._config = config
        self.stop_requested = asyncio.Event()
        self._state_dir = state_dir
        self._loop = loop
        version = RecordedVersion(Path(config.fleet_path).parent)
        self._tree_version = version.current_digest
        self._unit_set = UnitSet(
            state_dir,
            generation,
            loop,
            open_files,
            tree_version=version.current_digest,
            on_unit_change=self._on_unit_change,
            on_ownership_lost=self.stop_requested.set,
            on_state_dir_recreated=self._restart_hub,
        )
        self._unit_set.event_log.append("supervisor", pid=os.getpid(), text=f"generation {generation}")
        self._peers = PeerSet(
            loop,
            lambda: agent_statuses(self._unit_set.units.values()),
            version.current_digest,
            self.handle,
            self._on_remote_change,
            self._on_reachability_change,
        )
        self._unit_set.dependents.set_remote_agents(self._peers.remote_agents)
        self._federation = Federation(self._peers)
        self._rollout = Rollout(self._unit_set, self._peers)
        self._descriptor_reserve = DescriptorReserve(
            loop, lambda: self._unit_set.event_log.append("descriptors-exhausted")
        )
        self._fault_injector = FaultInjector(self._unit_set)
        self._hub_process = HubProcess(state_dir, loop, self._unit_set.event_log)
        self._sessions: Collection[ControlSession] = ()
        self._change_locks: list[ChangeLock] = []
        self._was_used = False
        loop.call_later(_UNUSED_TIMEOUT_S, self.stop_if_unused)

    async def adopt(self, *, is_new_state_dir: bool) -> None:
        """Adopt the processes of an earlier supervisor, found by their leases and by its applied plan.

        Runs before clients can connect; the loop keeps running, so messages of adopted agents are processed.
        is_new_state_dir: the state directory was just created; it may have been deleted while agents ran, so
        `/proc` is scanned as well.
        """
        if is_new_state_dir:
            self._unit_set.recreate_lost_leases()
            self._hub_process.stop_orphaned()
        applied_plan = load_applied_plan(self._state_dir)
        self._unit_set.file_backups.hold(self._state_dir.applied_plan, self._state_dir.address_book)
        stopping = applied_plan.stopping if applied_plan is not None else {}
        cell_units = applied_plan.cell_processes if applied_plan is not None else {}
        await asyncio.sleep(0)
        if applied_plan is not None:
            self._unit_set.add_units({}, applied_plan.plan.cell_processes)
            cooperative_yield = CooperativeYield()
            for name, spec in applied_plan.plan.processes.items():
                self._unit_set.add_units({name: spec}, {})
                await cooperative_yield.yield_if_due()
            self._unit_set.set_plan(applied_plan.plan)
            self._unit_set.add_units(stopping, cell_units)
            await asyncio.sleep(0)
            self._rollout.graph = graph_from_edges(
                {name: spec.need_names() for name, spec in applied_plan.plan.processes.items()}
            )
        known_cell_units = {cell_unit.name for cell_unit in cell_units.values()}
        await self._adopt_leases(known_cell_units)
        with contextlib.suppress(OSError, MissingError):  # the next start reports the error
            # The directory was deleted meanwhile: agents that are not adopted yet have no lease left.
            while self._unit_set.repair_state_dir():
                self._unit_set.recreate_lost_leases()
                await self._adopt_leases(known_cell_units)
        for name in stopping:
            unit = self._unit_set.units[name]
            if unit.has_process:
                unit.stop()  # resumes the stop that the earlier supervisor began
        self._unit_set.adopt_leftovers(is_new_state_dir=is_new_state_dir)
        self._restore_peering(applied_plan.peering if applied_plan is not None else None)
        if self._config.is_persistent:
            self._start_previously_running()

    def _restart_hub(self) -> None:
        """Replace the hub: its database was deleted with the state directory."""
        if self._unit_set.plan is not None:
            self._hub_process.replace(self._unit_set.plan.path, self._unit_set.environ)

    def _restore_peering(self, saved_plan: PeeringPlan | None) -> None:
        """Connect to the machines of the configured peering plan, or of the earlier supervisor's."""
        try:
            self._peers.configure(self._config.peering_plan or saved_plan)
        except ArgosyError as error:
            if self._config.peering_plan is not None:
                raise
            self._unit_set.event_log.append("peering-failed", text=error.faults[0].message)

    def _start_previously_running(self) -> None:
        """Start the agents that were running or starting when this machine went down."""
        units = self._unit_set.units
        for name in self._rollout.graph.start_order():
            saved_state = self._unit_set.unit_states.read(name) if name in units else None
            was_up = (
                saved_state is not None
                and saved_state.desired_up
                and saved_state.state not in (State.EXITED, State.GIVEN_UP)
            )
            if was_up and (not units[name].has_process or units[name].is_leftover):
                units[name].start()

    async def _adopt_leases(self, known_cell_units: Collection[str]) -> None:
        """Adopt living processes that hold a lease. known_cell_units: cell processes of the applied plan."""
        unplanned = specs_missing_from_plan(
            self._state_dir,
            [each for each in agents_by_lease(self._state_dir) if each not in known_cell_units],
        )
        self._unit_set.add_units(unplanned.agents, unplanned.cell_processes)
        await asyncio.sleep(0)
        self._was_used = bool(await self._unit_set.adopt_running()) or self._was_used

    def watch_sessions(self, sessions: Collection[ControlSession]) -> None:
        """Send transitions to those of `sessions` that subscribe."""
        self._sessions = sessions

    def stop_if_unused(self) -> None:
        """Exit when no request ever came and no client is connected: the client was interrupted."""
        if not self._was_used and not self._sessions and not self._config.is_persistent:
            self.stop_requested.set()

    def on_client_disconnected(self) -> None:
        """Handle the loss of a client, perhaps in the middle of a change.

        The change goes on, but is no longer waited for. Processes frozen for that client are resumed.
        """
        self._rollout.recheck_attended()
        self._fault_injector.resume_all_except(self._sessions)
        self.stop_if_unused()

    def announce_shutdown(self) -> None:
        """Tell every client that the supervisor exits on purpose."""
        self._unit_set.event_log.flush()
        for session in self._sessions:
            session.send(ShuttingDown(running=len(self._unit_set.running_units())))

    def close(self) -> None:
        """Release all resources; the agents and the hub keep running."""
        self._fault_injector.resume_all_except(())
        self._hub_process.close()
        self._descriptor_reserve.close()
        self._peers.close(len(self._unit_set.running_units()))
        self._unit_set.close()

    async def handle(self, session: ClientSession, request: ControlRequest) -> None:
        """Answer one request; an ArgosyError is sent as Refused."""
        try:
            await self._dispatch(session, request)
        except ArgosyError as error:
            session.send(Refused(faults=list(error.faults), exit_code=error.exit_code))
        except Exception as error:
            session.send(Refused(faults=[Fault("", "internal", f"the supervisor failed: {error!r}")]))
            raise

    async def _dispatch(self, session: ClientSession, request: ControlRequest) -> None:
        match request:
            case Apply():
                try:
                    with self._exclusive("up", session):
                        await self._apply(session, request)
                finally:
                    await self._stop_if_idle()  # also after a refused apply
            case Restart():
                with self._exclusive("restart", session):
                    self._send_final(session, await self._restart(request, session))
            case Stop():
                with self._preempt("down", session):
                    # State changes that the hub misses now it reads from the event log at its next start.
                    hub = (
                        None if request.names is not None else asyncio.ensure_future(self._hub_process.stop())
                    )
                    stopped = await self._stop(request)
                    if not stopped.still_running:
                        await self._unit_set.wait_leftovers_gone()
                    if hub:
                        await hub
                    self._send_final(session, stopped)
                await self._stop_if_idle()
            case RelayCommand():
                if session.origin:
                    await run_relayed_command(self._config.fleet_path, request.args, session)
                else:
                    await self._federation.relay(request, session)
            case _:
                self._handle_immediately(session, request)

    def _send_final(self, session: ClientSession, message: ControlMessage) -> None:
        """Send the last answer of a request; the event log is flushed first, so the client can read it."""
        self._unit_set.event_log.flush()
        session.send(message)

    def _handle_immediately(
        self,
        session: ClientSession,
        request: ControlRequest,
    ) -> None:
        match request:
            case ClientHello():
                session.client = request.client
                enforced_limits = sorted(self._unit_set.launcher.enforced_limits)
                session.send(
                    ServerHello(
                        protocol=PROTOCOL,
                        pid=os.getpid(),
                        started_s=self.started_s,
                        enforced_limits=enforced_limits,
                        is_persistent=self._config.is_persistent,
                    )
                )
            case GetStatus():
                session.send(
                    fleet_status(
                        self._unit_set.plan,
                        self._all_statuses(),
                        MachineStatus(state="here", since_s=self.started_s, version=self._tree_version()),
                        self._peers.machine_statuses(),
                        self._hub_process.describe_problem(),
                    )
                )
            case MarkMachineFailed():
                self._peers.mark_machine_failed(request.machine, request.reason)
            case InjectFault():
                session.send(self._fault_injector.inject(session, request))
            case ResumeProcess():
                self._fault_injector.resume_for(session)
            case Subscribe():
                session.is_subscribed = True
            case Shutdown():
                self.stop_requested.set()

    def _all_statuses(self) -> dict[str, AgentStatus]:
        remote = {name: each.to_status() for name, each in self._peers.remote_agents.items()}
        return agent_statuses(self._unit_set.units.values()) | remote

    @contextlib.contextmanager
    def _exclusive(self, verb: str, session: ClientSession) -> Iterator[None]:
        """Run one change.

        Raises RefusedError: another change is in progress.
        """
        if self._change_locks:
            raise RefusedError(self._change_locks[0].busy_fault())
        with self._preempt(verb, session):
            yield

    @contextlib.contextmanager
    def _preempt(self, verb: str, session: ClientSession) -> Iterator[None]:
        """Block new changes while the body runs."""
        self._was_used = True
        lock = ChangeLock(verb, session.pid, time.time(), session.origin)
        self._change_locks.append(lock)
        try:
            yield
        finally:
            self._change_locks.remove(lock)

    async def _apply(self, session: ClientSession, request: Apply) -> None:
        if request.origin:
            request = self._localize(request)
        else:
            request = msgspec.structs.replace(request, apply_id=secrets.token_hex(8))
        apply_plan = await self._rollout.prepare(request, session.pid)
        session.send(apply_plan.change.to_preview(len(apply_plan.plan.declared)))
        was_subscribed, session.is_subscribed = session.is_subscribed, True
        remote_apply = self._federation.apply(
            request, apply_plan.remote_scope, session, self._rollout.on_machine_done
        )
        try:
            summary = await self._rollout.execute(apply_plan, remote_apply.machines, lambda: session.is_gone)
        finally:
            remote_apply.cancel()
        summary = self._federation.merge_summary(summary, remote_apply)
        session.is_subscribed = was_subscribed
        if request.hub and summary.ready:
            self._hub_process.start(apply_plan.plan.path, self._unit_set.environ)
            summary = msgspec.structs.replace(summary, hub=self._hub_process.describe_problem())
        self._send_final(session, summary)

    def _localize(self, request: Apply) -> Apply:
        """Return an apply from another machine with this machine's fleet path and environment."""
        environ = {name.decode(errors="replace"): value for name, value in os.environb.items()}
        fleet = msgspec.structs.replace(request.fleet, path=self._config.fleet_path)
        return msgspec.structs.replace(request, fleet=fleet, environ=environ)

    async def _stop(self, request: Stop) -> Stopped:
        local_names = self._local_names(request.names, self._unit_set.units)
        stopping_elsewhere = request.stopping_elsewhere or self._local_names(
            request.names, self._peers.remote_agents
        )
        local_result, remote_results = await asyncio.gather(
            self._rollout.stop(
                None if request.names is None else local_names,
                force=request.force,
                stopping_elsewhere=stopping_elsewhere,
            ),
            self._federation.stop(request, local_names),
        )
        results = [local_result, *remote_results]
        return Stopped(
            stopped=[name for part in results for name in part.stopped],
            killed=[name for part in results for name in part.killed],
            seconds=max(part.seconds for part in results),
            unreachable={machine: why for part in results for machine, why in part.unreachable.items()},
            still_running={name: why for part in results for name, why in part.still_running.items()},
        )

    async def _restart(self, request: Restart, session: ClientSession) -> Restarted:
        local_names = self._local_names(request.names, self._unit_set.units)
        local_result, remote_results = await asyncio.gather(
            self._rollout.restart(local_names, lambda: session.is_gone), self._federation.restart(request)
        )
        results = [local_result, *remote_results]
        return Restarted(
            restarted=sorted(name for part in results for name in part.restarted),
            not_ready={name: why for part in results for name, why in part.not_ready.items()},
            reconnected=sorted(name for part in results for name in part.reconnected),
            restarted_with_cell={
                cell: names for part in results for cell, names in part.restarted_with_cell.items()
            },
            seconds=max(part.seconds for part in results),
        )

    def _local_names(self, names: Sequence[str] | None, known: Collection[str]) -> list[str]:
        """Return those of `names` (None: all) that are in `known`, and those that no machine knows."""
        if names is None:
            return list(known)
        return [name for name in names if name in known or name not in self._unit_set.dependents.agents]

    async def _stop_if_idle(self) -> None:
        """Exit when no agent runs and none is to be started."""
        if not self._change_locks and self._is_idle() and not self._config.is_persistent:
            await self._hub_process.stop()
            self.stop_requested.set()

    def _is_idle(self) -> bool:
        if any(remote_agent.has_process for remote_agent in self._peers.remote_agents.values()):
            return False
        return all(u.state in FINAL_STATES and u.pid is None for u in self._unit_set.units.values())

    # ---- notifications

    def _on_remote_change(self, remote_agent: RemoteAgent, before: State) -> None:
        self._unit_set.dependents.on_remote_change(remote_agent, before)
        self._rollout.on_transition(remote_agent)
        if remote_agent.state is not before:
            self._broadcast_state(remote_agent, time.time(), [])

    def _on_reachability_change(self, connection: PeerConnection) -> None:
        kind = "machine-connected" if connection.is_connected else "machine-unreachable"
        self._unit_set.event_log.append(
            kind, text=f"machine `{connection.machine}` {connection.reason}".rstrip()
        )
        remote_agents = self._peers.remote_agents_of(connection.machine)
        self._unit_set.dependents.on_reachability_change(remote_agents)
        for remote_agent in remote_agents:
            self._rollout.on_transition(remote_agent)
        self._broadcast(
            MachineStatusChanged(
                machine=connection.machine, status=self._peers.machine_statuses()[connection.machine]
            )
        )

    def _on_unit_change(self, unit: Unit) -> None:
        self._rollout.on_transition(unit)
        if self._peers.plan is not None:
            self._peers.publish(unit.name, agent_status(unit))
        self._broadcast_state(unit, unit.since_s, unit.waiting_on)

    def _broadcast_state(self, agent: Unit | RemoteAgent, at_s: float, waiting_on: list[str]) -> None:
        self._broadcast(
            AgentStateChanged(
                agent=agent.name,
                state=agent.state,
                at_s=at_s,
                reason=agent.reason,
                pid=agent.pid,
                waiting_on=waiting_on,
                last_lines=agent.last_lines,
                is_silent=agent.silent_s is not None,
            )
        )

    def _broadcast(self, message: ControlMessage) -> None:
        for session in self._sessions:
            if session.is_subscribed:
                session.send(message)
