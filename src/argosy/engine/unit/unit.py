"""One agent on this machine: its wishes, its state, its health, and what follows when its process exits.

The unit carries out what `state_machine` and `restart_policy` decide. Its start is in `start_sequence`, how
it comes to a process in `process_backend`; it reports to its `UnitObserver`.
"""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING

from argosy.engine.logs.log_file import append_end_notice, last_lines, log_size
from argosy.engine.process.timers import Timers
from argosy.engine.protocol.messages import LastExit
from argosy.engine.protocol.state_machine import (
    READY_STATES,
    RUNNING_STATES,
    State,
    UnitAction,
    UnitEvent,
    next_transition,
)
from argosy.engine.state.unit_state_store import PersistedUnitState
from argosy.engine.unit.agent_monitor import AgentMonitor
from argosy.engine.unit.dependency_state import dependency_status, health_event
from argosy.engine.unit.exit_sequence import ExitSequence
from argosy.engine.unit.process_backend import OwnProcess
from argosy.engine.unit.restart_policy import ProcessExit
from argosy.engine.unit.start_sequence import StartSequence
from argosy.fleet.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from argosy.engine.admission.memory_sampler import ProcessMemory
    from argosy.engine.plan.process_plan import ProcessSpec
    from argosy.engine.unit.process_backend import ProcessBackend
    from argosy.engine.unit.services import UnitServices
    from argosy.fault import Fault

_HEARTBEAT_STATES = READY_STATES | {State.FAILING}


class UnitObserver:
    """Receives a unit's changes; what a kind of unit does not need does nothing."""

    def on_transition(self, unit: Unit) -> None:
        """It has made a transition, or its reason has changed."""

    def on_ready(self, unit: Unit) -> None:
        """It is ready now."""

    def on_unready(self, unit: Unit) -> None:
        """It is no longer ready."""

    def on_final(self, unit: Unit) -> None:
        """It will not become ready by itself."""

    def find_startup_fault(self, unit: Unit, on_result: Callable[[Fault | None], None]) -> None:
        """Call `on_result` with the fault in its code, None when none is known."""
        on_result(None)


class Unit:
    """One agent and its process, if it has one.

    make_process(unit, services): makes its backend. awaits_admission: only scarce resources delay its start.
    started_at, ready_at: loop time of the last spawn and of the readiness that followed.
    leftovers_gone: not set while a leftover of a process is being terminated that exited while no supervisor
    ran. since_s: epoch seconds of the last change of state. exit_cause: see `ProcessExit`.
    log_start: the size of its log when its last start began. last_lines: its last log lines, when given up.
    apply_id: of the Apply that last started it. has_injected_fault: a drill has killed or frozen its process.
    restart_requested: it starts again once its process is gone.
    """

    def __init__(
        self,
        spec: ProcessSpec,
        services: UnitServices,
        observer: UnitObserver,
        make_process: Callable[[Unit, UnitServices], ProcessBackend] = OwnProcess,
    ) -> None:
        self.spec = spec
        self.name = spec.name
        self.state = State.EXITED
        self.desired_up = False
        self.apply_id = ""
        self.reason = "not started"
        self.last_exit: LastExit | None = None
        self.last_failure = ""  # how its last process exited, until one is ready
        self.since_s = time.time()
        self.running_digest = spec.digest
        self.version = ""  # of the tree, when its process was started
        self.restarts = 0
        self.health: str | None = None
        self.started_at = 0.0
        self.ready_at: float | None = None
        self.awaits_admission = False
        self.was_killed = False
        self.exit_cause = "exit"
        self.restart_requested = False
        self.has_injected_fault = False
        self.log_start = 0
        self.last_lines: list[str] = []
        self.lost_needs: set[str] = set()
        self.leftovers_gone = asyncio.Event()
        self.leftovers_gone.set()
        self._services = services
        self._observer = observer
        self._redactor = Redactor(spec.env)
        self._timers = Timers(services.loop)
        self._process = make_process(self, services)
        self._log = self._process.log
        self._monitor = AgentMonitor(
            self,
            services.state_dir.notify_socket(spec.name),
            self._log,
            services.loop,
            services.launcher,
            services.listeners,
            services.notify_batcher,
        )
        self._start = StartSequence(self, services, self._process, self._monitor, self._timers)
        self._exit = ExitSequence(self, services, self._process, self._monitor, self._timers)
        self._pending_spec: ProcessSpec | None = None

    # ---- what others ask of it

    @property
    def pid(self) -> int | None:
        """The pid of its process, None when there is none."""
        return self._process.pid

    @property
    def process(self) -> ProcessBackend:
        """Its process, of its own or of its cell."""
        return self._process

    @property
    def is_ready(self) -> bool:
        """Whether dependents may rely on it."""
        return self.state in READY_STATES

    @property
    def is_reachable(self) -> bool:
        """Whether its machine is connected: it is this one."""
        return True

    @property
    def is_leftover(self) -> bool:
        """Whether its process exited while no supervisor ran, and left a process that is being terminated."""
        return not self.leftovers_gone.is_set()

    @property
    def has_failed(self) -> bool:
        """Whether it exited with an error, and is still wanted."""
        return self.state is State.EXITED and self.desired_up and self._exit.has_failed

    @property
    def has_process(self) -> bool:
        """Whether it has a process, one is being started, or leftovers of one remain."""
        return self.state in RUNNING_STATES or self._process.pid is not None

    @property
    def memory(self) -> ProcessMemory | None:
        """The memory of its process at the last sample; in a cell its share of it."""
        return self._process.memory

    @property
    def sampled_s(self) -> float:
        """How long ago the memory was sampled."""
        return self._services.loop.time() - self._process.memory_sampled_at

    @property
    def status_text(self) -> str:
        """The last status that its process has reported."""
        return self._monitor.status

    @property
    def silent_s(self) -> float | None:
        """How long it has sent no heartbeat, None when none is missing."""
        return self._monitor.silent_s if self.state in _HEARTBEAT_STATES else None

    @property
    def waiting_on(self) -> list[str]:
        """The agents that it waits for before it starts."""
        if self.state is not State.WAITING:
            return []
        return dependency_status(self.need_names(), self._services.agents).waiting_on

    def need_names(self) -> tuple[str, ...]:
        """Return the names of the agents that must be ready first."""
        return self.spec.need_names()

    def start(self) -> None:
        """Request that it runs. An explicit start resets the restart budget."""
        self.desired_up = True
        self._timers.cancel("diagnosis")
        self._exit.reset_diagnosis()
        self._exit.reset_limit()
        self._process.reset_restart_limit()
        self.fire(UnitEvent.START, "")

    def reset_restart_budget(self) -> None:
        """Forget all restarts."""
        self._exit.reset_limit()

    def stop(self) -> None:
        """Request that it stops."""
        self._clear_desired()
        self.fire(UnitEvent.STOP, "stopped")

    def kill(self) -> None:
        """Request that it stops, and kill its process group now."""
        self._clear_desired()
        self.kill_process()

    def _clear_desired(self) -> None:
        self.desired_up = self.restart_requested = False
        self.save_state()

    def restart(self, spec: ProcessSpec | None = None) -> None:
        """Stop it and start it again, from then on as `spec` when one is given."""
        self.desired_up = True
        self._pending_spec = spec or self._pending_spec
        self._exit.reset_diagnosis()
        if self.state in RUNNING_STATES:
            self._process.restart()
        else:
            self.apply_pending_spec()
            self.start()

    def set_spec(self, spec: ProcessSpec) -> None:
        """Use `spec` from now on; a running process does not differ from it."""
        self._pending_spec = spec
        self.apply_pending_spec()

    def reevaluate_needs(self) -> None:
        """Evaluate its needs again: it may start now, or never."""
        self._start.check_needs()

    def on_need_lost(self, name: str) -> None:
        """Become degraded while `name` is not ready."""
        self.lost_needs.add(name)
        if self.is_ready:
            self._evaluate_health()

    def on_need_restored(self, name: str, *, shall_restart: bool) -> None:
        """Clear the degradation by `name`; or restart, where `on_death` asks for it."""
        self.lost_needs.discard(name)
        if shall_restart and self.has_process:
            self.restart()
        elif self.is_ready:
            self._evaluate_health()

    def check_heartbeat(self, now: float, pause_s: float) -> None:
        """Become degraded if its heartbeats have stopped (see `AgentMonitor.has_fallen_silent`)."""
        if self._monitor.has_fallen_silent(now, pause_s):
            self._evaluate_health()

    def inject_fault(self, signal_number: int) -> None:
        """Send its process a signal for a drill; the resulting exit counts as no restart."""
        self.has_injected_fault = True
        self._process.signal(signal_number)

    def resume(self) -> None:
        """Resume a process that `inject_fault` has stopped; if nobody noticed, forget the fault."""
        self.has_injected_fault = self.has_injected_fault and not self.is_ready
        self._process.signal(signal.SIGCONT)

    def close(self) -> None:
        """Release sockets, timers and descriptors; the process is left as it is."""
        self.disarm()
        self._monitor.close()
        self._process.close()

    # ---- the state machine

    def fire(self, event: UnitEvent, reason: str) -> None:
        """Have the state machine handle an event."""
        before, redacted = self.state, self.redact(reason)
        self.state, action = next_transition(before, event)
        if self.state is before and action is UnitAction.NONE:
            return
        if action is UnitAction.UPDATE_REASON:
            self.update_reason(redacted)
            return
        if reason or self.state is not before:
            self.reason = redacted
        if self.state is not before:
            self.since_s = time.time()
            is_given_up = self.state is State.GIVEN_UP and self.started_at
            output_lines = last_lines(self._log, self.log_start) if is_given_up else ()
            self.last_lines = list(map(self.redact, output_lines))
            self._observer.on_transition(self)
            if before in READY_STATES and not self.is_ready:
                self._observer.on_unready(self)
        self._perform(action)

    def update_reason(self, reason: str) -> None:
        """Show another reason for the same state."""
        if reason != self.reason:
            self.reason = reason
            self._observer.on_transition(self)

    def _perform(self, action: UnitAction) -> None:
        if action is UnitAction.CHECK_NEEDS:
            self._start.check_needs()
        elif action is UnitAction.SPAWN:
            self._start.begin()
        elif action is UnitAction.NOTIFY_DEPENDENTS:
            self._announce_ready()
        elif action is UnitAction.TERMINATE:
            self._terminate()
        elif action is UnitAction.FINALIZE:
            self.disarm()
            self.save_state()
            self._observer.on_final(self)

    def _announce_ready(self) -> None:
        self._start.cancel()
        self.ready_at = self._services.loop.time()
        self.last_failure = ""
        self._observer.on_ready(self)
        self._services.admission.schedule()
        self.save_state()  # last: dependents need not wait for the disk

    # ---- what its start reports (`StartingUnit`)

    def reset_for_start(self) -> None:
        """Forget what the last process has reported."""
        self.ready_at = None
        self.was_killed = self.has_injected_fault = False
        self.health = None
        self.lost_needs.clear()
        self.exit_cause = "exit"
        self.started_at = self._services.loop.time()

    def fail_start(self, reason: str) -> None:
        """Let the restart policy decide what follows a start that ended before there was a process."""
        self._exit.decide(ProcessExit(None, "not-started", False), reason)

    # ---- what its monitor reports (`MonitoredUnit`)

    def on_health(self, health: str | None) -> None:
        """Handle readiness; `health` is its own report, None when it makes none."""
        self.health = health
        self._evaluate_health()

    def _evaluate_health(self) -> None:
        """Turn its reported health, and the needs it has lost, into an event."""
        if outcome := health_event(self.health, self.lost_needs, self._monitor.silent_s):
            self.fire(*outcome)

    def on_frozen(self, reason: str) -> None:
        """End its process, which its watchdog or its liveness probe found frozen."""
        self._process.on_frozen(reason)

    def on_finished(self) -> None:
        """It reports that its part of a shared process has ended."""
        self._process.on_finished()

    # ---- what its process reports (`ProcessOwner`)

    def on_started(self) -> None:
        """It has a process now: the start goes on, unless it was stopped meanwhile."""
        if self.state is State.STOPPING:
            self._terminate()
        else:
            self._start.resume()
        self._observer.on_transition(self)

    def on_start_failed(self, reason: str) -> None:
        """No process could be started; without a reason the start is repeated."""
        if self.state is State.STOPPING:
            self.on_never_started()
        elif reason:
            self.fail_start(f"not started, {reason}")
        else:
            self._start.begin()

    def adopt(self) -> None:
        """Adopt the process of an earlier supervisor; it is ready again once it reports so."""
        saved = self._services.unit_states.read(self.name)
        state = saved or PersistedUnitState(desired_up=True, digest=self.spec.digest)
        is_same = state.incarnation == self._process.incarnation
        self.desired_up = self.desired_up or state.desired_up
        self.restarts = state.restarts
        self.version = state.version if is_same else ""
        self.last_exit = state.last_exit
        self.running_digest = state.digest if is_same else self.spec.digest
        self.started_at = self._services.loop.time()
        self.state, self.reason = State.STARTING, "adopted, no report yet"
        self.since_s = time.time()
        self.log_start = state.log_start if is_same else log_size(self._log)
        self._monitor.listen()
        if not self.desired_up:
            self.fire(UnitEvent.STOP, "stopped")  # its supervisor exited during the stop
            return
        if saved is None:  # an overdue start would have been ended by its supervisor
            was_ready = self._process.age_s() > self.spec.start_timeout_s
        else:
            was_ready = is_same and state.ready_s is not None
        self._start.arm_timeout()
        self._monitor.start_adopted(self.spec, self.pid or 0, self.log_start, was_ready=was_ready)

    def adopt_leftovers(self, pids: Sequence[int]) -> None:
        """Terminate leftovers of a process that exited while no supervisor ran; a start waits for that."""
        self.leftovers_gone.clear()
        self._process.adopt_leftovers(pids)
        self.state, self.since_s = State.FAILING, time.time()
        self.reason = f"failing: leftover process {', '.join(map(str, pids))}"
        self._observer.on_transition(self)
        self._process.clear_leftovers(self._on_leftovers_gone)

    def _on_leftovers_gone(self) -> None:
        self.restart_requested = False
        self.leftovers_gone.set()
        self.forget_process()
        self.apply_pending_spec()
        if self.desired_up:
            self._exit.schedule_restart(self.reason, 0.0, is_counted=False)
        else:
            self.fire(UnitEvent.FINISHED, "exited while no supervisor ran; its leftover processes are gone")

    # ---- exit

    def stop_for_restart(self) -> None:
        """Stop, and start again once the process is gone."""
        self.restart_requested = True
        self.fire(UnitEvent.STOP, "restarting")

    def end_frozen(self, reason: str) -> None:
        """End its process, which does not react any more."""
        self.exit_cause = "frozen"
        append_end_notice(self._log, self.redact(reason))
        self.fire(UnitEvent.FROZEN, reason)

    def _terminate(self) -> None:
        self._start.cancel()
        if self._process.is_shared:
            self._monitor.read_immediately()  # it reports that it has finished
        else:
            self._monitor.stop()
        self._process.terminate()

    def kill_after(self, grace_s: float) -> None:
        """Kill the process if it still runs then."""
        self._timers.arm("stop-grace", grace_s, self.kill_process)

    def kill_process(self) -> None:
        """Kill the process; the restart policy decides what follows."""
        self.was_killed = True
        self._process.kill()

    def on_never_started(self) -> None:
        """There is no process to stop."""
        self._exit.decide(ProcessExit(None, "exit", False), self.reason)

    def on_exit(self, status: int | None) -> None:
        """Its process has exited."""
        self._exit.begin(status)

    def on_leftover(self, text: str) -> None:
        """A leftover of its process had to be killed."""
        self.update_reason(text)

    # ---- what the end of its process asks for (`ExitingUnit`)

    def redact(self, text: str) -> str:
        """Return a text without its secrets: log lines may contain some."""
        return self._redactor.redact(text)

    def find_startup_fault(self, on_result: Callable[[Fault | None], None]) -> None:
        """Call `on_result` with the fault in its code, None when none is known."""
        self._observer.find_startup_fault(self, on_result)

    def forget_process(self) -> None:
        """Nothing is left of the process."""
        self._start.cancel()
        self._process.mark_gone()
        self.health = None
        self._services.admission.schedule()

    def leave_process(self, event: UnitEvent, reason: str) -> None:
        """Its part of a shared process has ended; `event` is what the process does next."""
        if not self.desired_up:
            event, reason = UnitEvent.FINISHED, self.reason
        elif self.exit_cause == "timeout":
            event, reason = UnitEvent.GIVE_UP, self.reason
        self.disarm()
        self.forget_process()
        self.apply_pending_spec()
        if event is UnitEvent.RETRY:
            self.restarts += 1
            self._exit.record(reason)
        self.fire(event, reason)
        self.save_state()

    def apply_pending_spec(self) -> None:
        """Use the spec that it was given for its next process."""
        if self._pending_spec is not None:
            self.spec, self._pending_spec = self._pending_spec, None
            self._redactor = Redactor(self.spec.env)
            self._exit.reset_limit()

    def save_state(self) -> None:
        """Keep its state for the next supervisor."""
        self._services.unit_states.write(
            self.name,
            PersistedUnitState(
                desired_up=self.desired_up,
                digest=self.running_digest,
                incarnation=self._process.incarnation,
                restarts=self.restarts,
                ready_s=self.since_s if self.is_ready else None,
                reason=self.reason,
                state=self.state,
                log_start=self.log_start,
                last_lines=self.last_lines,
                version=self.version,
                last_exit=self.last_exit,
            ),
        )

    def disarm(self) -> None:
        """Cancel timers, and stop monitoring the process."""
        self._timers.cancel_all()
        self._monitor.stop()
