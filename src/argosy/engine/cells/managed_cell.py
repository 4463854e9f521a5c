"""A cell: one process that several agents share, and the agents attached to it.

The process is a unit like any other, with a lease, a log, a restart limit and a watchdog, observed by the
cell. The agents are units too, with their own states, needs and readiness; where another unit has a process
forked, they attach to the cell (`SharedProcess`). When the process exits, all attached members exit.

The complete list of requested members is sent to the process in one datagram, whenever it changes and
whenever the process or the supervisor is new: there are no increments that could be lost.
"""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING, ClassVar

from argosy.agent.cell_manifest import MembersUpdate, encode_members_update
from argosy.engine.admission.memory_sampler import ProcessMemory
from argosy.engine.protocol.state_machine import FINAL_STATES, State, UnitEvent
from argosy.engine.unit.process_backend import OwnProcess
from argosy.engine.unit.unit import Unit, UnitObserver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from argosy.engine.plan.process_plan import ProcessSpec
    from argosy.engine.unit.process_backend import ProcessOwner
    from argosy.engine.unit.services import UnitServices

_SEND_RETRY_S = 0.01
_EVENT_AFTER_EXIT = {
    State.RESTART_PENDING: UnitEvent.RETRY,
    State.EXITED: UnitEvent.FINISHED,
    State.GIVEN_UP: UnitEvent.GIVE_UP,
}


class ManagedCell(UnitObserver):
    """One cell of the fleet on this machine.

    members: all its agents, attached or not. process_unit: the unit of its process. process: that process.
    """

    def __init__(self, name: str, spec: ProcessSpec, services: UnitServices) -> None:
        self.name = name
        self.members: dict[str, SharedProcess] = {}
        self._services = services
        self._spec = spec
        # Members that are to run, in the order of their requests.
        self._requested_members: dict[str, SharedProcess] = {}
        # Members that this process was told to run and has not finished.
        self._attached_members: dict[str, SharedProcess] = {}
        self._is_update_scheduled = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.process_unit = Unit(spec, services, self, self._make_process)
        self._last_state = self.process_unit.state

    def _make_process(self, owner: ProcessOwner, services: UnitServices) -> OwnProcess:
        self.process = CellProcess(owner, services, self)
        return self.process

    # ---- called by its members

    @property
    def attached_count(self) -> int:
        """How many members share the process now."""
        return len(self._attached_members)

    @property
    def is_stopping(self) -> bool:
        """Whether the process is being stopped."""
        return self.process_unit.state is State.STOPPING

    def has_attached(self, member: SharedProcess) -> bool:
        """Return whether the process was told to run this member and has not finished it."""
        return member.name in self._attached_members

    def attach(self, member: SharedProcess) -> None:
        """Start an agent in the process, which is started if it does not run.

        The start of the process counts towards the agent's own start time.
        """
        self._services.event_log.append("spawn-requested", agent=member.name)
        self._requested_members[member.name] = member
        if self.process_unit.is_ready:
            self._schedule_members_update()
        elif self.process_unit.state in FINAL_STATES:
            self._start_if_requested()
        # Otherwise the process is starting or restarting: all members are sent when it is ready.

    def detach(self, member: SharedProcess) -> None:
        """Stop an agent in the process; the process is stopped with its last agent."""
        self._requested_members.pop(member.name, None)
        if self._requested_members or not self.has_attached(member):
            self._schedule_members_update()
        else:
            self.process_unit.stop()

    def restart_process(self) -> None:
        """Restart the process with all attached members."""
        self.process_unit.restart(self._spec)

    def finish(self, member: SharedProcess) -> None:
        """Handle the report of the process that an agent has finished in it."""
        if self.is_stopping:
            return  # members are detached when the process exits
        if member.name in self._requested_members:
            if member.unit.state is State.STARTING:
                self.restart_process()  # an agent runs only once in a process
        elif self._attached_members.pop(member.name, None) and member.unit.state is State.STOPPING:
            member.detach(UnitEvent.FINISHED, member.unit.reason)

    # ---- called by the set of all units

    def set_spec(self, spec: ProcessSpec) -> None:
        """Use `spec` from the next process on; at once if the running process has the same digest or none."""
        self._spec = spec
        if self.process_unit.running_digest in (spec.digest, ""):
            self.process_unit.set_spec(spec)

    def adopt_process(self) -> None:
        """Adopt the process of an earlier supervisor, and the members that it was told to run."""
        if self.process.pid is not None or not self.process.adopt_survivor():
            return
        for member in self.members.values():
            if member.adopt():
                self._requested_members[member.name] = self._attached_members[member.name] = member
        if not self._requested_members:
            self.process_unit.stop()

    def close(self) -> None:
        """Release the process, which keeps running."""
        self.process_unit.close()
        self._socket.close()

    # ---- observer of the process

    def on_ready(self, unit: Unit) -> None:
        """Send the members to the process, which is ready."""
        self._schedule_members_update()

    def on_transition(self, unit: Unit) -> None:
        """Log a transition of the process, and pass its consequences to the attached members."""
        state, before = unit.state, self._last_state
        self._services.event_log.append(
            "state", agent=unit.name, state=state.value, pid=unit.pid, text=unit.reason
        )
        self._last_state = state
        if state is before:
            return
        if state in _EVENT_AFTER_EXIT:
            self._detach_all(_EVENT_AFTER_EXIT[state])
        elif state in (State.STOPPING, State.FAILING):
            event = UnitEvent.FROZEN if state is State.STOPPING else UnitEvent.UNHEALTHY
            for member in list(self._attached_members.values()):
                member.unit.fire(event, self._exit_reason())
        elif before is State.RESTART_PENDING:
            for member in list(self.members.values()):
                if member.unit.state is State.RESTART_PENDING:
                    member.unit.fire(UnitEvent.BACKOFF_OVER, member.unit.reason)

    # ---- internal

    def _start_if_requested(self) -> None:
        if self._requested_members and self.process_unit.state in FINAL_STATES:
            self.process_unit.set_spec(self._spec)
            self.process_unit.start()

    def _detach_all(self, event: UnitEvent) -> None:
        """Detach the attached members of an exited process; after a final exit also the requested ones."""
        detached, self._attached_members = self._attached_members, {}
        reason = self._exit_reason()
        is_final = event is not UnitEvent.RETRY and self.process_unit.desired_up
        for name, member in {**detached, **(self._requested_members if is_final else {})}.items():
            self._requested_members.pop(name, None)
            member.detach(event, reason)
        if event is UnitEvent.FINISHED:
            self._services.loop.call_soon(self._start_if_requested)  # for members requested meanwhile

    def _exit_reason(self) -> str:
        reason, status_text = self.process_unit.reason, self.process_unit.status_text
        if reason in ("restarting", "stopped"):
            return f"{reason} with its cell `{self.name}`"
        more = f": {status_text}" if status_text and status_text not in reason else ""
        return f"its cell `{self.name}` {reason}{more}"

    def _schedule_members_update(self) -> None:
        """Send the members after this tick, so that all requests of the tick go together."""
        if not self._is_update_scheduled:
            self._is_update_scheduled = True
            self._services.loop.call_soon(self._send_members_update)

    def _send_members_update(self) -> None:
        self._is_update_scheduled = False
        if not self.process_unit.is_ready:
            return  # sent when it is ready
        for name, member in self._requested_members.items():
            if name not in self._attached_members:
                self._attached_members[name] = member
                member.attach()
        try:
            data = encode_members_update(MembersUpdate(tuple(self._requested_members)))
            self._socket.sendto(data, str(self._services.state_dir.members_socket(self.name)))
        except BlockingIOError:
            self._is_update_scheduled = True
            self._services.loop.call_later(_SEND_RETRY_S, self._send_members_update)
        except OSError:
            return  # the process is gone; its exit will be reported


class CellProcess(OwnProcess):
    """The process of a cell: when it is frozen, it says which agent blocks it."""

    def __init__(self, owner: ProcessOwner, services: UnitServices, cell: ManagedCell) -> None:
        super().__init__(owner, services)
        self._cell = cell

    def on_frozen(self, reason: str) -> None:
        """End it, with its last status in the reason, or with its stack in the log."""
        status_text = self._cell.process_unit.status_text
        if not status_text:
            self.signal(signal.SIGQUIT)  # C code blocks the interpreter: dump its stack to the log
        super().on_frozen(f"{reason}: {status_text}" if status_text else reason)


class SharedProcess:
    """The backend of an agent in a cell: where another process is forked, it attaches to the cell."""

    is_shared: ClassVar = True
    is_adopted: ClassVar = False

    def __init__(self, cell: ManagedCell, unit: Unit, services: UnitServices) -> None:
        self.name = unit.name
        self.unit = unit
        self.log = cell.process.log
        self.incarnation = 0
        self._cell = cell
        self._services = services
        self._is_attached = False
        self._leftover: OwnProcess | None = None  # of a process that it had before it was in a cell
        cell.members[unit.name] = self

    @property
    def pid(self) -> int | None:
        """The pid of the cell's process while the agent is attached, or of its leftover."""
        if self._is_attached:
            return self._cell.process.pid
        return None if self._leftover is None else self._leftover.pid

    @property
    def memory(self) -> ProcessMemory | None:
        """Its share of the proportional memory; the resident memory is that of all."""
        found = self._cell.process.memory if self._is_attached else None
        return found and ProcessMemory(found.rss_bytes, found.pss_bytes // self._cell.attached_count)

    @property
    def memory_sampled_at(self) -> float:
        """When the memory of the cell's process was sampled."""
        return self._cell.process.memory_sampled_at

    def reset_restart_limit(self) -> None:
        """Forget the restarts of the cell."""
        self._cell.process_unit.reset_restart_budget()

    # ---- start

    def adopt_survivor(self) -> bool:
        """Return False: it is adopted with its cell."""
        return False

    def adopt(self) -> bool:
        """Adopt the agent with its cell; return whether it is to run there."""
        process = self._cell.process
        saved = self._services.unit_states.read(self.name)
        if saved is not None and not (saved.desired_up and saved.incarnation == process.incarnation):
            return False
        self._share_process()
        self.unit.adopt()
        self._copy_start()
        return True

    def age_s(self) -> float:
        """Return 0: it has no lease of its own."""
        return 0.0

    def adopt_leftovers(self, pids: Sequence[int]) -> None:
        """Record what a process has left that it had before it was in a cell."""
        self._leftover = OwnProcess(self.unit, self._services)
        self._leftover.adopt_leftovers(pids)

    def clear_leftovers(self, on_gone: Callable[[], None]) -> bool:
        """Call `on_gone()` once nothing is left of an earlier process; the cell cares for its own."""
        if self._leftover is not None:
            return self._leftover.clear_leftovers(on_gone)
        on_gone()
        return True

    def request(self) -> None:
        """Have the cell run it."""
        self._cell.attach(self)

    def attach(self) -> None:
        """Record that the process was told to run it."""
        self._share_process()
        self._copy_start()
        self.unit.save_state()
        self.unit.on_started()

    def _share_process(self) -> None:
        self._is_attached = True
        self.incarnation = self._cell.process.incarnation

    def _copy_start(self) -> None:
        process_unit = self._cell.process_unit
        self.unit.version, self.unit.log_start = process_unit.version, process_unit.log_start

    # ---- exit

    def restart(self) -> None:
        """Restart the cell."""
        if self._cell.has_attached(self):
            self._cell.restart_process()
        else:
            self.unit.apply_pending_spec()  # it is about to start

    def signal(self, signal_number: int) -> None:
        """Send the cell's process a signal."""
        self._cell.process.signal(signal_number)

    def terminate(self) -> None:
        """Leave the cell, or have it restarted where a start that took too long is to be repeated."""
        cell, unit = self._cell, self.unit
        if not cell.has_attached(self):
            cell.detach(self)
            self.detach(UnitEvent.FINISHED, unit.reason)
        elif unit.exit_cause == "timeout" and unit.spec.restart == "always":
            unit.exit_cause = "exit"
            cell.restart_process()
        elif not cell.is_stopping:
            unit.kill_after(unit.spec.stop_timeout_s)
            cell.detach(self)

    def kill(self) -> None:
        """Kill the process of the cell."""
        self._cell.process_unit.kill_process()

    def on_frozen(self, reason: str) -> None:
        """End the cell's process."""
        self._cell.process_unit.end_frozen(f"restarts since `{self.name}` {reason}")

    def on_finished(self) -> None:
        """The agent reports that it has ended in the process."""
        self._cell.finish(self)

    def detach(self, event: UnitEvent, reason: str) -> None:
        """Record that it is not in the process any more; `event` is what its cell does next."""
        self.unit.leave_process(event, reason)

    def mark_gone(self) -> None:
        """Record that it is not in the process any more."""
        self._is_attached = False
        if self._leftover is not None:
            self._leftover.mark_gone()
            self._leftover = None

    def close(self) -> None:
        """Leave the members of the cell."""
        self._cell.members.pop(self.name, None)
        if self._leftover is not None:
            self._leftover.close()


def with_cell_members(units: Iterable[Unit], cells: Mapping[str, ManagedCell]) -> list[Unit]:
    """Return these units, and all running members of their cells: a cell restarts as a whole."""
    found = dict.fromkeys(units)
    for unit in list(found):
        cell = cells.get(unit.spec.cell or "")
        if cell is not None and unit.has_process:
            members = (member.unit for member in cell.members.values())
            found.update(dict.fromkeys(member for member in members if member.has_process))
    return list(found)
