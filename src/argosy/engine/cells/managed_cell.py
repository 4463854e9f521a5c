"""A cell: one process that several agents share, and who of them is aboard.

The process (the hull) is a unit like any other, with a lease, a log, a restart limit and a watchdog;
the cell is its surroundings. The agents are units too (`member`), with states, needs and readiness
of their own; where another unit would have a process forked, they board the cell. What becomes of
the hull becomes of everyone aboard.

Who shall live in the process is told to it as a whole, in one datagram, whenever that changes and
whenever the process or the supervisor is new: there is no difference that could be lost.
"""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

from argosy.agent.cell_manifest import MembersUpdate, encode_members_update
from argosy.engine.logs.log_file import append_end_notice
from argosy.engine.unit.context import DependencyStatus
from argosy.engine.unit.state_machine import FINAL_STATES, State, UnitEvent
from argosy.engine.unit.unit import Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from argosy.engine.cells.member import CellMember
    from argosy.engine.process.helper_process import HelperResult
    from argosy.engine.process.managed_process import ManagedProcess
    from argosy.engine.unit.process_plan import ProcessSpec
    from argosy.engine.unit.unit_manager import UnitManager
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
        """The process, for those aboard to share."""
        return self._process

    @property
    def status_text(self) -> str:
        """What the process has said of itself last: who failed in it, or what holds its loop."""
        return self._monitor.status

    def reset_restart_budget(self) -> None:
        """Forget all restarts."""
        self._budget.reset()

    def kill_process(self) -> None:
        """Kill the process; what follows is the policy's word."""
        self._kill()

    def mark_frozen(self, reason: str) -> None:
        """Take it for frozen, for what was seen at one of its agents."""
        self._exit_cause = "frozen"
        append_end_notice(self._log, reason)
        self._fire(UnitEvent.FROZEN, reason)

    def _on_frozen(self, reason: str) -> None:
        if not self.status_text:
            self._process.signal(signal.SIGQUIT)  # C code holds the interpreter: its stack goes to the log
        self.mark_frozen(f"{reason}: {self.status_text}" if self.status_text else reason)


class ManagedCell:
    """One cell of the fleet on this machine; `members` are all its agents, aboard or not."""

    def __init__(self, name: str, spec: ProcessSpec, unit_manager: UnitManager) -> None:
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
        self._requested_members: dict[str, CellMember] = {}  # who shall live, in the order of asking
        self._attached_members: dict[
            str, CellMember
        ] = {}  # whom this process was told to carry, and has not let go
        self._is_update_scheduled = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.cell_unit = CellUnit(spec, self)
        self._last_state = self.cell_unit.state

    # ---- what its members ask

    @property
    def is_stopping(self) -> bool:
        """Whether the process is on its way out."""
        return self.cell_unit.state is State.STOPPING

    def has_attached(self, member: CellMember) -> bool:
        """Return whether the process was told to carry this one and has not let it go."""
        return member.name in self._attached_members

    def attach(self, member: CellMember) -> None:
        """Have an agent begun in the process, which is started where there is none.

        The time that the process needs is the agent's own: it waits for nobody else.
        """
        self._unit_manager.event_log.append("spawn-requested", agent=member.name)
        self._requested_members[member.name] = member
        if self.cell_unit.is_ready:
            self._schedule_members_update()
        elif self.cell_unit.state in FINAL_STATES:
            self._start_if_requested()
        # Else it comes, or it goes and comes again: then all are called.

    def detach(self, member: CellMember) -> None:
        """Have an agent ended in the process; with the last one the process ends."""
        self._requested_members.pop(member.name, None)
        if self._requested_members or not self.has_attached(member):
            self._schedule_members_update()
        else:
            self.cell_unit.stop()

    def restart_process(self) -> None:
        """Restart the process, with everyone aboard."""
        self.cell_unit.restart(self._spec)

    def on_member_finished(self, member: CellMember) -> None:
        """The process says that an agent's life in it is over."""
        if self.is_stopping:
            return  # none of them is gone before the process is
        if member.name in self._requested_members:
            if member.state is State.STARTING:
                self.restart_process()  # it has lived in this process before, and may not again
        elif self._attached_members.pop(member.name, None) and member.state is State.STOPPING:
            member.on_detached(UnitEvent.FINISHED, member.reason)

    def reset_restart_budget(self) -> None:
        """Forget earlier restarts: a person has asked for a start."""
        self.cell_unit.reset_restart_budget()

    # ---- what the crew asks

    def set_spec(self, spec: ProcessSpec) -> None:
        """Be `spec` from the next process on; at once where that differs in nothing, as far as one knows."""
        self._spec = spec
        if self.cell_unit.running_digest in (spec.digest, ""):
            self.cell_unit.set_spec(spec)

    def adopt_process(self) -> None:
        """Take over the process of an earlier supervisor, and whom it was told to carry."""
        if self.cell_unit.pid is not None or not self._unit_manager.adopt(self.cell_unit):
            return
        for member in self.members.values():
            if member.adopt_attached(self.cell_unit):
                self._requested_members[member.name] = self._attached_members[member.name] = member
        if not self._requested_members:
            self.cell_unit.stop()

    def share_memory(self) -> None:
        """Share the process's memory out to those aboard; nobody can tell whose it is."""
        for member in self._attached_members.values():
            member.set_memory_share(self.cell_unit, len(self._attached_members))

    def close(self) -> None:
        """Let go of the process; it lives on."""
        self.cell_unit.close()
        self._socket.close()

    # ---- surroundings of the hull

    def dependency_status(self, unit: Unit) -> DependencyStatus:
        """Return nothing: it is its agents that wait for others."""
        return DependencyStatus([], {})

    def request_admission(self, unit: Unit) -> None:
        """Start in its turn, as every process."""
        self._unit_manager.request_admission(unit)

    def adopt(self, unit: Unit) -> bool:
        """Take over the process that the lease records, if that lives."""
        return self._unit_manager.adopt(unit)

    def had_process(self, name: str) -> bool:
        """Return whether this supervisor has had one of this name."""
        return self._unit_manager.had_process(name)

    def spawn(self, unit: Unit, output: int) -> None:
        """Have the process forked; takes over the descriptor."""
        self._unit_manager.spawn(unit, output)

    async def run_helper(self, unit: Unit, command: Sequence[str], timeout_s: float) -> HelperResult:
        """Run a command in the folder and environment of the process."""
        return await self._unit_manager.run_helper(unit, command, timeout_s)

    def forker_pids(self) -> set[int]:
        """Return the process numbers of the forkers and zygotes."""
        return self._unit_manager.forker_pids()

    def tree_version(self) -> str:
        """Return the version of the tree now."""
        return self._unit_manager.tree_version()

    def was_oom_killed(self, unit: Unit) -> bool:
        """Return whether the kernel killed the process for its `memory`."""
        return self._unit_manager.was_oom_killed(unit)

    def find_startup_fault(self, unit: Unit, on_result: Callable[[Fault | None], None]) -> None:
        """Say that nothing is known: the process tells by itself whose code could not be loaded."""
        on_result(None)

    def drain_fork_events(self) -> None:
        """Take what the forker has told."""
        self._unit_manager.drain_fork_events()

    def on_ready(self, unit: Unit) -> None:
        """The process takes calls."""
        self._schedule_members_update()

    def on_unready(self, unit: Unit) -> None:
        """Nobody needs a process; they need its agents."""

    def on_final(self, unit: Unit) -> None:
        """See `changed`."""

    def on_exit(self, unit: Unit) -> None:
        """Its room is free."""
        self._unit_manager.on_exit(unit)

    def on_transition(self, unit: Unit) -> None:
        """Let those aboard go the way of their process."""
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

    # ---- its own

    def _start_if_requested(self) -> None:
        if self._requested_members and self.cell_unit.state in FINAL_STATES:
            self.cell_unit.set_spec(self._spec)
            self.cell_unit.start()

    def _detach_all(self, event: UnitEvent) -> None:
        """The process is gone: so is who was aboard, and by a final end who waits for it."""
        detached, self._attached_members = self._attached_members, {}
        reason = self._exit_reason()
        is_final = event is not UnitEvent.RETRY and self.cell_unit.desired_up
        for name, member in {**detached, **(self._requested_members if is_final else {})}.items():
            self._requested_members.pop(name, None)
            member.on_detached(event, reason)
        if event is UnitEvent.FINISHED:
            self.loop.call_soon(self._start_if_requested)  # who asked while it went

    def _exit_reason(self) -> str:
        if self.cell_unit.reason in ("restarting", "stopped"):
            return f"{self.cell_unit.reason} with its cell `{self.name}`"
        status_text = self.cell_unit.status_text
        more = f": {status_text}" if status_text and status_text not in self.cell_unit.reason else ""
        return f"its cell `{self.name}` {self.cell_unit.reason}{more}"

    def _schedule_members_update(self) -> None:
        """Call after this tick, so that all who ask in it are called together."""
        if not self._is_update_scheduled:
            self._is_update_scheduled = True
            self.loop.call_soon(self._send_members_update)

    def _send_members_update(self) -> None:
        self._is_update_scheduled = False
        if not self.cell_unit.is_ready:
            return  # all are called when it is
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
            return  # the process is gone, and that will be told


def with_cell_members(units: Iterable[Unit], cells: Mapping[str, ManagedCell]) -> list[Unit]:
    """Return these, and of each one's cell all that have a process: a cell is one unit."""
    found = dict.fromkeys(units)
    for unit in list(found):
        cell = cells.get(unit.spec.cell or "")
        if cell is not None and unit.has_process:
            found.update(dict.fromkeys(mate for mate in cell.members.values() if mate.has_process))
    return list(found)
