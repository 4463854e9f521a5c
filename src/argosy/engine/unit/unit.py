"""One agent on this machine: its wishes, its state, its health, and what follows when its process exits.

The unit carries out what `state_machine` and `restart_policy` decide. Its start is in `start_sequence`, how
it comes to a process in `process_backend`; it reports to its `UnitObserver`.
"""

from __future__ import annotations

import asyncio
import signal
import time
from functools import partial
from typing import TYPE_CHECKING

from argosy.engine.logs.log_file import append_end_notice, last_lines, log_size, most_relevant_line
from argosy.engine.process import os_process
from argosy.engine.process.timers import Timers
from argosy.engine.protocol.fork_protocol import EXIT_CODE_TEXT
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
from argosy.engine.unit.process_backend import OwnProcess
from argosy.engine.unit.restart_policy import ProcessExit, RestartBudget, decide_exit, with_jitter
from argosy.engine.unit.start_sequence import StartSequence
from argosy.engine.unit.startup_fault_search import describe_startup_fault, is_confirmed_by
from argosy.fleet.quantities import format_count, format_size
from argosy.fleet.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from argosy.engine.admission.memory_sampler import ProcessMemory
    from argosy.engine.plan.process_plan import ProcessSpec
    from argosy.engine.process.os_process import ProcessIdentity
    from argosy.engine.unit.process_backend import ProcessBackend
    from argosy.engine.unit.services import UnitServices
    from argosy.fault import Fault

_DIAGNOSIS_TIMEOUT_S = 15.0

# The stored length of an exit reason; the record of a unit's state has room for a page.
_MAX_REASON_CHARS = 500

_HEARTBEAT_STATES = READY_STATES | {State.FAILING}


class UnitObserver:
    """Is told of a unit's changes; what a kind of unit does not need does nothing."""

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
    apply_id: of the Apply that last started it.
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
        self.log_start = 0
        self.last_lines: list[str] = []
        self.lost_needs: set[str] = set()
        self.leftovers_gone = asyncio.Event()
        self.leftovers_gone.set()
        self._services = services
        self._observer = observer
        self._redactor = Redactor(spec.env)
        self._budget = RestartBudget(spec.restart_times, spec.restart_within_s)
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
        self._pending_spec: ProcessSpec | None = None
        self._restart_requested = False
        self._has_injected_fault = False  # a drill has killed or frozen its process
        self._has_exited_with_error = False
        self._is_diagnosed = False  # whether its code was searched since the last requested start

    # ---- what others ask of it

    @property
    def identity(self) -> ProcessIdentity | None:
        """Its process, until nothing of it is left."""
        return self._process.identity

    @property
    def incarnation(self) -> int:
        """The incarnation of its process, or of the last one; 0 before the first."""
        return self._process.incarnation

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
        return self.state is State.EXITED and self.desired_up and self._has_exited_with_error

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
        self._is_diagnosed = False
        self.reset_restart_budget()
        self._process.reset_restart_limit()
        self.fire(UnitEvent.START, "")

    def reset_restart_budget(self) -> None:
        """Forget all restarts."""
        self._budget.reset()

    def stop(self) -> None:
        """Request that it stops."""
        self._clear_desired()
        self.fire(UnitEvent.STOP, "stopped")

    def kill(self) -> None:
        """Request that it stops, and kill its process group now."""
        self._clear_desired()
        self.kill_process()

    def _clear_desired(self) -> None:
        self.desired_up = self._restart_requested = False
        self.save_state()

    def restart(self, spec: ProcessSpec | None = None) -> None:
        """Stop it and start it again, from then on as `spec` when one is given."""
        self.desired_up = True
        self._pending_spec = spec or self._pending_spec
        self._is_diagnosed = False
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
        self._has_injected_fault = True
        self._process.signal(signal_number)

    def resume(self) -> None:
        """Resume a process that `inject_fault` has stopped; if nobody noticed, forget the fault."""
        self._has_injected_fault = self._has_injected_fault and not self.is_ready
        self._process.signal(signal.SIGCONT)

    def close(self) -> None:
        """Release sockets, timers and descriptors; the process is left as it is."""
        self._disarm()
        self._monitor.close()
        self._process.close()

    # ---- the state machine

    def fire(self, event: UnitEvent, reason: str) -> None:
        """Have the state machine handle an event."""
        before, redacted = self.state, self._redactor.redact(reason)  # log lines may contain secrets
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
            self.last_lines = list(map(self._redactor.redact, output_lines))
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
            self._disarm()
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
        self.was_killed = self._has_injected_fault = False
        self.health = None
        self.lost_needs.clear()
        self.exit_cause = "exit"
        self.started_at = self._services.loop.time()

    def fail_start(self, reason: str) -> None:
        """Let the restart policy decide what follows a start that ended before there was a process."""
        self._after_exit(ProcessExit(None, "not-started", False), reason)

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
        is_same = state.incarnation == self.incarnation
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
        self._restart_requested = False
        self.leftovers_gone.set()
        self._forget_process()
        self.apply_pending_spec()
        if self.desired_up:
            self._schedule_restart(self.reason, 0.0, is_counted=False)
        else:
            self.fire(UnitEvent.FINISHED, "exited while no supervisor ran; its leftover processes are gone")

    # ---- exit

    def stop_for_restart(self) -> None:
        """Stop, and start again once the process is gone."""
        self._restart_requested = True
        self.fire(UnitEvent.STOP, "restarting")

    def end_frozen(self, reason: str) -> None:
        """End its process, which does not react any more."""
        self.exit_cause = "frozen"
        append_end_notice(self._log, self._redactor.redact(reason))
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
        self._after_exit(ProcessExit(None, "exit", False), self.reason)

    def on_exit(self, status: int | None) -> None:
        """Handle the exit of the process; the decision waits until nothing of it is left."""
        self._monitor.drain()  # messages sent before the exit count
        self._disarm()
        is_expected = self.exit_cause != "exit" or self.state is State.STOPPING
        fatal_error = "" if is_expected else self._monitor.fatal_error
        process_exit = ProcessExit(
            os_process.exit_code(status),
            self.exit_cause,
            was_ready=self.ready_at is not None,
            is_permanent=bool(fatal_error),
            is_injected=self._has_injected_fault,
        )
        reason = self.reason if is_expected else self._describe_exit(process_exit)
        reason = f"cannot start: {fatal_error}" if fatal_error else reason
        if self._services.launcher.was_oom_killed(self.name):
            reason = f"{reason}; it had more than its `memory` of {format_size(self.spec.memory_bytes or 0)}"
        if not self._process.clear_leftovers(partial(self._after_exit, process_exit, reason)):
            self.fire(UnitEvent.UNHEALTHY, f"{reason}; processes that it started still run")

    def _describe_exit(self, process_exit: ProcessExit) -> str:
        """Return how the process exited; for one that was never ready also its last log line."""
        code = process_exit.code
        description = EXIT_CODE_TEXT.get(code or 0) or os_process.describe_exit(code)
        if process_exit.was_ready:
            return description
        uptime_s = self._services.loop.time() - self.started_at
        last_line = most_relevant_line(self._log, self.log_start)
        output = f"last line: {last_line}" if last_line else "no output"
        return f"{description} after {uptime_s:.1f} s, before it was ready; {output}"

    def on_leftover(self, text: str) -> None:
        """A leftover of its process had to be killed."""
        self.update_reason(text)

    def _forget_process(self) -> None:
        """Nothing is left of the process."""
        self._start.cancel()
        self._process.mark_gone()
        self.health = None
        self._services.admission.schedule()

    def _after_exit(self, process_exit: ProcessExit, reason: str) -> None:
        """Let the restart policy decide what follows."""
        self._forget_process()
        if self.desired_up and not self._restart_requested and process_exit.cause != "not-started":
            self._record_exit(reason)
        if self._restart_requested:
            self._restart_requested = False
            self.apply_pending_spec()
            self._schedule_restart("restarting", 0.0)
            return
        self._has_exited_with_error = process_exit.code != 0
        decision = decide_exit(
            self.spec, process_exit, self.desired_up, self._budget, self._services.loop.time()
        )
        if decision.event is UnitEvent.RETRY:
            retry = partial(self._schedule_restart, reason, decision.delay_s, is_counted=decision.is_counted)
            if process_exit.may_be_permanent and not self._is_diagnosed:
                self._diagnose(reason, retry)
            else:
                retry()
            return
        is_restart_limit = process_exit.cause != "timeout" and not process_exit.is_permanent
        if decision.event is UnitEvent.GIVE_UP and is_restart_limit and self._budget.restart_count:
            reason = f"given up after {format_count(self._budget.restart_count, 'restart')}: {reason}"
        self.fire(decision.event, reason)

    def leave_process(self, event: UnitEvent, reason: str) -> None:
        """Its part of a shared process has ended; `event` is what the process does next."""
        if not self.desired_up:
            event, reason = UnitEvent.FINISHED, self.reason
        elif self.exit_cause == "timeout":
            event, reason = UnitEvent.GIVE_UP, self.reason
        self._disarm()
        self._forget_process()
        self.apply_pending_spec()
        if event is UnitEvent.RETRY:
            self.restarts += 1
            self._record_exit(reason)
        self.fire(event, reason)
        self.save_state()

    def _record_exit(self, reason: str) -> None:
        """Keep the reason of the exit, to be shown when it is ready again."""
        self.last_exit = LastExit(self._redactor.redact(reason)[:_MAX_REASON_CHARS], time.time())

    def _diagnose(self, reason: str, retry: Callable[[], None]) -> None:
        """Retry, unless its code has a fault that prevents every start; searched once per requested start."""
        self._is_diagnosed = True
        self.fire(UnitEvent.RETRY, reason)
        last_line = most_relevant_line(self._log, self.log_start)
        # A start or stop meanwhile cancels the timer.
        self._timers.arm("diagnosis", _DIAGNOSIS_TIMEOUT_S, retry)
        self._observer.find_startup_fault(self, lambda fault: self._on_diagnosis(fault, last_line, retry))

    def _on_diagnosis(self, fault: Fault | None, last_line: str, retry: Callable[[], None]) -> None:
        if not self._timers.pop("diagnosis"):
            return
        if fault is not None and is_confirmed_by(fault, last_line):
            self.fire(UnitEvent.GIVE_UP, f"cannot start: {describe_startup_fault(fault)}")
        else:
            retry()

    def _schedule_restart(self, reason: str, delay_s: float, *, is_counted: bool = True) -> None:
        self.restarts += is_counted
        self.last_failure = self._redactor.redact(reason)
        self.fire(UnitEvent.RETRY, reason)
        self.save_state()
        self._timers.arm("backoff", with_jitter(delay_s), lambda: self.fire(UnitEvent.BACKOFF_OVER, reason))

    def apply_pending_spec(self) -> None:
        """Use the spec that it was given for its next process."""
        if self._pending_spec is not None:
            self.spec, self._pending_spec = self._pending_spec, None
            self._redactor = Redactor(self.spec.env)
            self._budget = RestartBudget(self.spec.restart_times, self.spec.restart_within_s)

    def save_state(self) -> None:
        """Keep its state for the next supervisor."""
        self._services.unit_states.write(
            self.name,
            PersistedUnitState(
                desired_up=self.desired_up,
                digest=self.running_digest,
                incarnation=self.incarnation,
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

    def _disarm(self) -> None:
        self._timers.cancel_all()
        self._monitor.stop()
