"""One agent of a cell: a unit whose process is its cell's.

It waits for its own needs, reports its own readiness and has its own health. Where another unit would
have a process forked, it attaches to the cell; the cell reports what happens to the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from argosy.engine.admission.memory_sampler import ProcessMemory
from argosy.engine.protocol.state_machine import RUNNING_STATES, State, UnitEvent
from argosy.engine.unit.unit import Unit

if TYPE_CHECKING:
    from argosy.engine.cells.managed_cell import CellUnit, ManagedCell
    from argosy.engine.plan.process_plan import ProcessSpec
    from argosy.engine.unit.context import UnitContext


class CellMember(Unit):
    """An agent of `cell`."""

    def __init__(self, spec: ProcessSpec, context: UnitContext, cell: ManagedCell) -> None:
        super().__init__(spec, context)
        self.cell = cell
        self._log = context.state_dir.log_file(cell.cell_unit.name)
        self._monitor.on_finished = lambda: cell.on_member_finished(self)
        cell.members[spec.name] = self

    # ---- requests

    @property
    def process_unit(self) -> Unit:
        """The unit whose process it runs in: its cell's."""
        return self.cell.cell_unit

    def start(self) -> None:
        """Set it to be up and start it; resets the restart budget of its cell."""
        self.cell.reset_restart_budget()
        super().start()

    def restart(self, spec: ProcessSpec | None = None) -> None:
        """Restart its cell, and use `spec` from then on if given."""
        self.desired_up = True
        self._pending_spec = spec or self._pending_spec
        if self.cell.has_attached(self):
            self.cell.restart_process()
            return
        self._apply_pending_spec()
        if self.state not in RUNNING_STATES:
            super().start()

    def close(self) -> None:
        """Close sockets and timers."""
        super().close()
        self.cell.members.pop(self.name, None)

    # ---- start

    def start_process(self) -> None:
        """Attach to the cell; a port that is in use is a failed start."""
        self.awaits_admission = self.was_killed = False
        self.ready_at = self.health = None
        self.lost_needs.clear()
        self._exit_cause = "exit"
        self.started_at = self._context.loop.time()
        self._mark_log_start()
        port_conflict = self._context.listeners.port_conflict(self.spec.ports, self.spec.probe_port)
        if port_conflict:
            self._fail_start(port_conflict)
            return
        try:
            self._monitor.listen()
        except OSError as error:
            self._fail_start(f"its notify socket: {error.strerror}")
            return
        self.running_digest = self.spec.digest
        self._timers.arm("start-timeout", self.spec.start_timeout_s, self._on_start_timeout)
        self.cell.attach(self)

    def on_attached(self, cell_unit: CellUnit) -> None:
        """The process was told to run it."""
        self._share_process(cell_unit)
        self._save_state()
        self._monitor.start(self.spec, cell_unit.pid or 0)
        self._context.on_transition(self)

    def adopt_attached(self, cell_unit: CellUnit) -> bool:
        """Adopt it with the process of an earlier supervisor; return whether it is to run there."""
        saved_state = self._context.unit_states.read(self.name)
        if saved_state is not None and not (
            saved_state.desired_up and saved_state.incarnation == cell_unit.incarnation
        ):
            return False
        self._share_process(cell_unit)
        self.desired_up = True
        self.restarts = saved_state.restarts if saved_state else 0
        self.running_digest = saved_state.digest if saved_state else self.spec.digest
        self.started_at = self._context.loop.time()
        self.state, self.reason = State.STARTING, "adopted, no report yet"
        self._monitor.listen()
        self._timers.arm("start-timeout", self.spec.start_timeout_s, self._on_start_timeout)
        was_ready = saved_state is not None and saved_state.ready_s is not None
        self._monitor.start_adopted(self.spec, cell_unit.pid or 0, was_ready=was_ready)
        return True

    def _share_process(self, cell_unit: CellUnit) -> None:
        self._process.share_process(cell_unit.managed_process)
        self.version = cell_unit.version
        self.log_start = cell_unit.log_start

    def set_memory_share(self, cell_unit: CellUnit, member_count: int) -> None:
        """Set its share of the process's proportional memory; the resident memory is that of all."""
        found = cell_unit.memory
        self.memory = found and ProcessMemory(found.rss_bytes, found.pss_bytes // member_count)
        self.memory_sampled_at = cell_unit.memory_sampled_at

    # ---- exit

    def on_process_stopping(self, reason: str, *, is_stopping: bool) -> None:
        """The process is being stopped, or has left processes behind."""
        self._fire(UnitEvent.FROZEN if is_stopping else UnitEvent.UNHEALTHY, reason)

    def on_detached(self, event: UnitEvent, reason: str) -> None:
        """It is not in the process any more; `event` is what its cell does next."""
        if not self.desired_up:
            event, reason = UnitEvent.FINISHED, self.reason
        elif self._exit_cause == "timeout":
            event, reason = UnitEvent.GIVE_UP, self.reason
        self._disarm()
        self._process.mark_gone()
        self.health = self.memory = None
        self.awaits_admission = False
        self._apply_pending_spec()
        if event is UnitEvent.RETRY:
            self.restarts += 1
            self._record_exit(reason)
        self._fire(event, reason)
        self._save_state()
        self._context.on_exit(self)

    def retry(self) -> None:
        """Its cell starts again."""
        if self.state is State.RESTART_PENDING:
            self._fire(UnitEvent.BACKOFF_OVER, self.reason)

    def _on_frozen(self, reason: str) -> None:
        self.cell.cell_unit.mark_frozen(f"restarts since `{self.name}` {reason}")

    def _terminate(self) -> None:
        self._timers.cancel("start-timeout")
        self._monitor.read_immediately()
        if not self.cell.has_attached(self):
            self.cell.detach(self)
            self.on_detached(UnitEvent.FINISHED, self.reason)
        elif self._exit_cause == "timeout" and self.spec.restart == "always":
            self._exit_cause = "exit"
            self.cell.restart_process()
        elif not self.cell.is_stopping:
            self._timers.arm("stop-grace", self.spec.stop_timeout_s, self._kill)
            self.cell.detach(self)

    def _kill(self) -> None:
        self.was_killed = True
        self.cell.cell_unit.kill_process()
