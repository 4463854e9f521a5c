"""A cell: one process that several agents share, and the agents attached to it.

The process (`CellUnit`) is a unit like any other, with a lease, a log, a restart limit and a watchdog;
the cell is its `UnitContext`. The agents are units too (`CellMember`), with their own states, needs and
readiness; where another unit would have a process forked, they attach to the cell. When the process
exits, all attached members exit.

The complete list of requested members is sent to the process in one datagram, whenever it changes and
whenever the process or the supervisor is new: there are no increments that could be lost.
"""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING, Protocol

from argosy.agent.cell_manifest import MembersUpdate, encode_members_update
from argosy.engine.logs.log_file import append_end_notice
from argosy.engine.protocol.state_machine import FINAL_STATES, State, UnitEvent
from argosy.engine.unit.context import DependencyStatus, UnitContext
from argosy.engine.unit.unit import Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from argosy.engine.cells.member import CellMember
    from argosy.engine.plan.process_plan import ProcessSpec
    from argosy.engine.process.helper_process import HelperResult
    from argosy.engine.state.event_log import EventLog
    from argosy.engine.unit.managed_process import ManagedProcess
    from argosy.fault import Fault

_SEND_RETRY_S = 0.01
_EVENT_AFTER_EXIT = {
    State.RESTART_PENDING: UnitEvent.RETRY,
    State.EXITED: UnitEvent.FINISHED,
    State.GIVEN_UP: UnitEvent.GIVE_UP,
}


class CellUnit(Unit):
    """The process of a cell."""

    @property
    def managed_process(self) -> ManagedProcess:
        """The process, shared by the attached members."""
        return self._process

    @property
    def status_text(self) -> str:
        """The last status that the process has reported: which member failed, or what blocks its loop."""
        return self._monitor.status

    def reset_restart_budget(self) -> None:
        """Forget all restarts."""
        self._budget.reset()

    def kill_process(self) -> None:
        """Kill the process; the restart policy decides what follows."""
        self._kill()

    def mark_frozen(self, reason: str) -> None:
        """Treat the process as frozen, because one of its members was found frozen."""
        self._exit_cause = "frozen"
        append_end_notice(self._log, reason)
        self._fire(UnitEvent.FROZEN, reason)

    def _on_frozen(self, reason: str) -> None:
        if not self.status_text:
            self._process.signal(signal.SIGQUIT)  # C code blocks the interpreter: dump its stack to the log
        self.mark_frozen(f"{reason}: {self.status_text}" if self.status_text else reason)


class CellContext(UnitContext, Protocol):
    """What a cell uses of the manager of the units, on behalf of its process."""

    event_log: EventLog


class ManagedCell:
    """One cell of the fleet on this machine; `members` are all its agents, attached or not."""

    def __init__(self, name: str, spec: ProcessSpec, unit_manager: CellContext) -> None:
        self.name = name
        self.loop, self.state_dir, self.unit_states = (
            unit_manager.loop,
            unit_manager.state_dir,
            unit_manager.unit_states,
        )
        self.listeners, self.notify_batcher = unit_manager.listeners, unit_manager.notify_batcher
        self.members: dict[str, CellMember] = {}
        self._unit_manager = unit_manager
        self._spec = spec
        # Members that are to run, in the order of their requests.
        self._requested_members: dict[str, CellMember] = {}
        # Members that this process was told to run and has not finished.
        self._attached_members: dict[str, CellMember] = {}
        self._is_update_scheduled = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.cell_unit = CellUnit(spec, self)
        self._last_state = self.cell_unit.state

    # ---- called by its members

    @property
    def is_stopping(self) -> bool:
        """Whether the process is being stopped."""
        return self.cell_unit.state is State.STOPPING

    def has_attached(self, member: CellMember) -> bool:
        """Return whether the process was told to run this member and has not finished it."""
        return member.name in self._attached_members

    def attach(self, member: CellMember) -> None:
        """Start an agent in the process, which is started if it does not run.

        The start of the process counts towards the agent's own start time.
        """
        self._unit_manager.event_log.append("spawn-requested", agent=member.name)
        self._requested_members[member.name] = member
        if self.cell_unit.is_ready:
            self._schedule_members_update()
        elif self.cell_unit.state in FINAL_STATES:
            self._start_if_requested()
        # Otherwise the process is starting or restarting: all members are sent when it is ready.

    def detach(self, member: CellMember) -> None:
        """Stop an agent in the process; the process is stopped with its last agent."""
        self._requested_members.pop(member.name, None)
        if self._requested_members or not self.has_attached(member):
            self._schedule_members_update()
        else:
            self.cell_unit.stop()

    def restart_process(self) -> None:
        """Restart the process with all attached members."""
        self.cell_unit.restart(self._spec)

    def on_member_finished(self, member: CellMember) -> None:
        """The process reports that an agent has finished in it."""
        if self.is_stopping:
            return  # members are detached when the process exits
        if member.name in self._requested_members:
            if member.state is State.STARTING:
                self.restart_process()  # an agent runs only once in a process
        elif self._attached_members.pop(member.name, None) and member.state is State.STOPPING:
            member.on_detached(UnitEvent.FINISHED, member.reason)

    def reset_restart_budget(self) -> None:
        """Forget earlier restarts, since a user has requested a start."""
        self.cell_unit.reset_restart_budget()

    # ---- called by the unit manager

    def set_spec(self, spec: ProcessSpec) -> None:
        """Use `spec` from the next process on; at once if the running process has the same digest or none."""
        self._spec = spec
        if self.cell_unit.running_digest in (spec.digest, ""):
            self.cell_unit.set_spec(spec)

    def adopt_process(self) -> None:
        """Adopt the process of an earlier supervisor, and the members that it was told to run."""
        if self.cell_unit.pid is not None or not self._unit_manager.adopt(self.cell_unit):
            return
        for member in self.members.values():
            if member.adopt_attached(self.cell_unit):
                self._requested_members[member.name] = self._attached_members[member.name] = member
        if not self._requested_members:
            self.cell_unit.stop()

    def share_memory(self) -> None:
        """Divide the process's memory evenly among the attached members."""
        for member in self._attached_members.values():
            member.set_memory_share(self.cell_unit, len(self._attached_members))

    def close(self) -> None:
        """Release the process, which keeps running."""
        self.cell_unit.close()
        self._socket.close()

    # ---- UnitContext of the process

    def dependency_status(self, unit: Unit) -> DependencyStatus:
        """Return no dependencies: only the members have them."""
        return DependencyStatus([], {})

    def request_admission(self, unit: Unit) -> None:
        """Queue the process for admission."""
        self._unit_manager.request_admission(unit)

    def adopt(self, unit: Unit) -> bool:
        """Adopt the process that the lease records, if it is alive."""
        return self._unit_manager.adopt(unit)

    def had_process(self, name: str) -> bool:
        """Return whether this supervisor has had a process of this name."""
        return self._unit_manager.had_process(name)

    def spawn(self, unit: Unit, output: int) -> None:
        """Have the process forked; takes over the descriptor `output`."""
        self._unit_manager.spawn(unit, output)

    async def run_helper(self, unit: Unit, command: Sequence[str], timeout_s: float) -> HelperResult:
        """Run a command in the working directory and environment of the process."""
        return await self._unit_manager.run_helper(unit, command, timeout_s)

    def forker_pids(self) -> set[int]:
        """Return the process numbers of the forkers and zygotes."""
        return self._unit_manager.forker_pids()

    def tree_version(self) -> str:
        """Return the version of the tree now."""
        return self._unit_manager.tree_version()

    def was_oom_killed(self, unit: Unit) -> bool:
        """Return whether the kernel killed the process because it exceeded its `memory`."""
        return self._unit_manager.was_oom_killed(unit)

    def find_startup_fault(self, unit: Unit, on_result: Callable[[Fault | None], None]) -> None:
        """Report no fault: the process itself reports which agent's code could not be loaded."""
        on_result(None)

    def drain_fork_events(self) -> None:
        """Read the forker's pending reports."""
        self._unit_manager.drain_fork_events()

    def on_ready(self, unit: Unit) -> None:
        """Send the members to the process, which is ready."""
        self._schedule_members_update()

    def on_unready(self, unit: Unit) -> None:
        """Do nothing: dependencies are on members, not on the shared process."""

    def on_final(self, unit: Unit) -> None:
        """Do nothing: see `on_transition`."""

    def on_exit(self, unit: Unit) -> None:
        """Report the exit to the unit manager, which frees the process's resources."""
        self._unit_manager.on_exit(unit)

    def on_transition(self, unit: Unit) -> None:
        """Log a transition of the process, and pass its consequences to the attached members."""
        state, before = unit.state, self._last_state
        self._unit_manager.event_log.append(
            "state", agent=unit.name, state=state.value, pid=unit.pid, text=unit.reason
        )
        self._last_state = state
        if state is before:
            return
        if state in _EVENT_AFTER_EXIT:
            self._detach_all(_EVENT_AFTER_EXIT[state])
        elif state in (State.STOPPING, State.FAILING):
            for member in list(self._attached_members.values()):
                member.on_process_stopping(self._exit_reason(), is_stopping=state is State.STOPPING)
        elif before is State.RESTART_PENDING:
            for member in list(self.members.values()):
                member.retry()

    # ---- internal

    def _start_if_requested(self) -> None:
        if self._requested_members and self.cell_unit.state in FINAL_STATES:
            self.cell_unit.set_spec(self._spec)
            self.cell_unit.start()

    def _detach_all(self, event: UnitEvent) -> None:
        """Detach the attached members of an exited process; after a final exit also the requested ones."""
        detached, self._attached_members = self._attached_members, {}
        reason = self._exit_reason()
        is_final = event is not UnitEvent.RETRY and self.cell_unit.desired_up
        for name, member in {**detached, **(self._requested_members if is_final else {})}.items():
            self._requested_members.pop(name, None)
            member.on_detached(event, reason)
        if event is UnitEvent.FINISHED:
            self.loop.call_soon(self._start_if_requested)  # for members requested meanwhile

    def _exit_reason(self) -> str:
        if self.cell_unit.reason in ("restarting", "stopped"):
            return f"{self.cell_unit.reason} with its cell `{self.name}`"
        status_text = self.cell_unit.status_text
        more = f": {status_text}" if status_text and status_text not in self.cell_unit.reason else ""
        return f"its cell `{self.name}` {self.cell_unit.reason}{more}"

    def _schedule_members_update(self) -> None:
        """Send the members after this tick, so that all requests of the tick go together."""
        if not self._is_update_scheduled:
            self._is_update_scheduled = True
            self.loop.call_soon(self._send_members_update)

    def _send_members_update(self) -> None:
        self._is_update_scheduled = False
        if not self.cell_unit.is_ready:
            return  # sent when it is ready
        for name, member in self._requested_members.items():
            if name not in self._attached_members:
                self._attached_members[name] = member
                member.on_attached(self.cell_unit)
        try:
            data = encode_members_update(MembersUpdate(tuple(self._requested_members)))
            self._socket.sendto(data, str(self.state_dir.members_socket(self.name)))
        except BlockingIOError:
            self._is_update_scheduled = True
            self.loop.call_later(_SEND_RETRY_S, self._send_members_update)
        except OSError:
            return  # the process is gone; its exit will be reported


def with_cell_members(units: Iterable[Unit], cells: Mapping[str, ManagedCell]) -> list[Unit]:
    """Return these units, and all running members of their cells: a cell restarts as a whole."""
    found = dict.fromkeys(units)
    for unit in list(found):
        cell = cells.get(unit.spec.cell or "")
        if cell is not None and unit.has_process:
            found.update(dict.fromkeys(member for member in cell.members.values() if member.has_process))
    return list(found)
