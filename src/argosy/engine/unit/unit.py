"""One agent on this machine: its process, its timers, its way through the state machine.

The unit carries out what `state_machine` and `restart_policy` decide. What it cannot do alone (fork,
look at other agents, notify clients) it delegates to its `UnitContext`, the unit manager.
"""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from typing import TYPE_CHECKING

from argosy.engine.logs.log_file import append_end_notice, last_lines, log_size, most_relevant_line, open_log
from argosy.engine.process import lease, os_process
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
from argosy.engine.unit.dependency_state import evaluate_dependencies, health_event
from argosy.engine.unit.managed_process import ManagedProcess
from argosy.engine.unit.reasons import describe_exit_reason, describe_start_timeout
from argosy.engine.unit.restart_policy import (
    ProcessExit,
    RestartBudget,
    decide_exit,
    stop_grace_s,
    with_jitter,
)
from argosy.engine.unit.startup_fault_search import describe_startup_fault, is_confirmed_by
from argosy.fleet.quantities import format_count, format_size
from argosy.fleet.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from argosy.engine.admission.memory_sampler import ProcessMemory
    from argosy.engine.plan.process_plan import ProcessSpec
    from argosy.engine.process.os_process import ProcessIdentity
    from argosy.engine.protocol.fork_protocol import Spawned
    from argosy.engine.unit.context import UnitContext
    from argosy.fault import Fault

_DIAGNOSIS_TIMEOUT_S = 15.0

# The stored length of an exit reason; the record of a unit's state has room for a page.
_MAX_REASON_CHARS = 500

_HEARTBEAT_STATES = READY_STATES | {State.FAILING}


class Unit:
    """One agent and its process, if it has one.

    awaits_admission: only scarce resources delay its start. started_at, ready_at: loop time of the last
    spawn and of the readiness that followed. is_leftover: its process exited while no supervisor ran, and a
    process that it left behind is being terminated. since_s: epoch seconds of the last change of state.
    log_start: the size of its log when its last start began. last_lines: its last log lines, when given up.
    apply_id: of the Apply that last started it. has_injected_fault: a drill has killed or frozen its
    process.
    """

    def __init__(self, spec: ProcessSpec, context: UnitContext) -> None:
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
        self.is_leftover = False
        self.has_injected_fault = False
        self.memory: ProcessMemory | None = None
        self.memory_sampled_at = 0.0
        self.log_start = 0
        self.last_lines: list[str] = []
        self.lost_needs: set[str] = set()
        self._context = context
        self._redactor = Redactor(spec.env)
        self._budget = RestartBudget(spec.restart_times, spec.restart_within_s)
        self._timers = Timers(context.loop)
        self._log = context.state_dir.log_file(spec.name)
        path, run_helper = context.state_dir.notify_socket(spec.name), partial(context.run_helper, self)
        callbacks = (context.drain_fork_events, self._on_health, self._on_frozen)
        self._monitor = AgentMonitor(
            path, self._log, context.loop, run_helper, context.listeners, context.notify_batcher, *callbacks
        )
        self._process = ManagedProcess(spec.name, context, self.on_exit, self._on_leftover)
        self._exit_cause = "exit"
        self._pending_spec: ProcessSpec | None = None
        self._restart_requested = False
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
    def is_ready(self) -> bool:
        """Whether dependents may rely on it."""
        return self.state in READY_STATES

    @property
    def is_reachable(self) -> bool:
        """Whether its machine is connected: it is this one."""
        return True

    @property
    def has_failed(self) -> bool:
        """Whether it exited with an error, and is still wanted."""
        return self.state is State.EXITED and self.desired_up and self._has_exited_with_error

    @property
    def process_unit(self) -> Unit:
        """The unit whose process it runs in: itself."""
        return self

    def need_names(self) -> tuple[str, ...]:
        """Return the names of the agents that must be ready first."""
        return self.spec.need_names()

    @property
    def has_process(self) -> bool:
        """Whether it has a process, one is being started, or leftovers of one remain."""
        return self.state in RUNNING_STATES or self._process.pid is not None

    def start(self) -> None:
        """Request that it runs. An explicit start resets the restart budget."""
        self.desired_up = True
        self._timers.cancel("diagnosis")
        self._is_diagnosed = False
        self._budget.reset()
        self._fire(UnitEvent.START, "")

    def stop(self) -> None:
        """Request that it stops."""
        self._clear_desired()
        self._fire(UnitEvent.STOP, "stopped")

    def kill(self) -> None:
        """Request that it stops, and kill its process group now."""
        self._clear_desired()
        self._kill()

    def _clear_desired(self) -> None:
        self.desired_up = self._restart_requested = False
        self._save_state()

    def restart(self, spec: ProcessSpec | None = None) -> None:
        """Stop it and start it again, from then on as `spec` when one is given."""
        self.desired_up = True
        self._pending_spec = spec
        self._is_diagnosed = False
        if self.state in RUNNING_STATES:
            self._restart_requested = True
            self._fire(UnitEvent.STOP, "restarting")
            return
        self._apply_pending_spec()
        self.start()

    def set_spec(self, spec: ProcessSpec) -> None:
        """Use `spec` from now on; a running process does not differ from it."""
        self._pending_spec = spec
        self._apply_pending_spec()

    def reevaluate_needs(self) -> None:
        """Evaluate its needs again: it may start now, or never."""
        self._fire_event(evaluate_dependencies(self._context.dependency_status(self), self.state))

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

    @property
    def silent_s(self) -> float | None:
        """How long it has sent no heartbeat, None when none is missing."""
        return self._monitor.silent_s if self.state in _HEARTBEAT_STATES else None

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
        self._disarm()
        self._monitor.close()
        self._process.close()

    # ---- the state machine

    def _fire(self, event: UnitEvent, reason: str) -> None:
        before, redacted = self.state, self._redactor.redact(reason)  # log lines may contain secrets
        self.state, action = next_transition(before, event)
        if self.state is before and action is UnitAction.NONE:
            return
        if action is UnitAction.UPDATE_REASON:
            self._update_reason(redacted)
            return
        if reason or self.state is not before:
            self.reason = redacted
        if self.state is not before:
            self.since_s = time.time()
            is_given_up = self.state is State.GIVEN_UP and self.started_at
            output_lines = last_lines(self._log, self.log_start) if is_given_up else ()
            self.last_lines = list(map(self._redactor.redact, output_lines))
            self._context.on_transition(self)
            if before in READY_STATES and not self.is_ready:
                self._context.on_unready(self)
        self._perform(action)

    def _update_reason(self, reason: str) -> None:
        if reason != self.reason:
            self.reason = reason
            self._context.on_transition(self)

    def _perform(self, action: UnitAction) -> None:
        if action is UnitAction.CHECK_NEEDS:
            self.reevaluate_needs()
        elif action is UnitAction.SPAWN:
            self._request_start()
        elif action is UnitAction.NOTIFY_DEPENDENTS:
            self._announce_ready()
        elif action is UnitAction.TERMINATE:
            self._terminate()
        elif action is UnitAction.FINALIZE:
            self._disarm()
            self._save_state()
            self._context.on_final(self)

    def _announce_ready(self) -> None:
        self._timers.cancel("start-timeout")
        self.ready_at = self._context.loop.time()
        self.last_failure = ""
        self._context.on_ready(self)
        self._save_state()  # last: dependents need not wait for the disk

    def _on_health(self, health: str | None) -> None:
        """Handle readiness; `health` is its own report, None when it makes none."""
        self.health = health
        self._evaluate_health()

    def _evaluate_health(self) -> None:
        """Turn its reported health, and the needs it has lost, into an event."""
        self._fire_event(health_event(self.health, self.lost_needs, self._monitor.silent_s))

    def _fire_event(self, outcome: tuple[UnitEvent, str] | None) -> None:
        if outcome is not None:
            self._fire(*outcome)

    # ---- start

    def _request_start(self) -> None:
        """Queue the process for admission, or fail with the reason why it cannot start."""
        self._mark_log_start()
        if self.spec.start_error:
            self._fire(UnitEvent.GIVE_UP, self.spec.start_error)
            return
        self.awaits_admission = True
        self._context.request_admission(self)

    def start_process(self) -> None:
        """Start the process; the unit manager calls this on admission."""
        self.awaits_admission = False
        self.ready_at = None
        self.was_killed = self.has_injected_fault = False
        self.health = None
        self.lost_needs.clear()
        self._exit_cause = "exit"
        self.started_at = self._context.loop.time()
        try:
            is_adopted = self._context.adopt(self)
        except OSError as error:
            self._fail_start(f"its lease cannot be read: {error.strerror}")
            return
        if not is_adopted:
            self._process.wait_until_gone(self._request_fork)  # leftovers of an earlier process go first

    def _request_fork(self) -> None:
        """Spawn the process; a port in use is a failed start like any other."""
        self._mark_log_start()  # leftovers of an earlier process may have printed until now
        port_conflict = self._context.listeners.port_conflict(self.spec.ports, self.spec.probe_port)
        if port_conflict:
            self._fail_start(port_conflict)
            return
        self.running_digest = self.spec.digest
        self.version = self._context.tree_version()
        try:
            self._monitor.listen()
            output = open_log(self._log)
            self.log_start = os.fstat(output).st_size
        except OSError as error:
            self._fail_start(f"{error.filename or 'its notify socket'}: {error.strerror}")
            return
        self._process.begin_spawn()
        self._save_state()
        self._timers.arm("start-timeout", self.spec.start_timeout_s, self._on_start_timeout)
        self._context.spawn(self, output)

    def _mark_log_start(self) -> None:
        """Exclude existing log lines from the output of the start that begins."""
        self.log_start = log_size(self._log)

    def _fail_start(self, reason: str) -> None:
        self._after_exit(ProcessExit(None, "not-started", False), f"not started, {reason}")

    def on_spawned(self, spawned: Spawned, pidfd: int) -> None:
        """Record the process that was forked for it; takes ownership of the descriptor."""
        self._process.on_spawned(spawned, pidfd)
        if self.state is State.STOPPING:
            self._terminate()
        else:
            self._monitor.start(self.spec, spawned.pid, self.log_start)
        self._context.on_transition(self)

    def on_spawn_failed(self, reason: str) -> None:
        """Handle a failed spawn; an empty `reason` means that it can be requested again."""
        self._process.is_spawn_pending = False
        if self.state is State.STOPPING:
            self._after_exit(ProcessExit(None, "exit", False), self.reason)
        elif reason:
            self._fail_start(reason)
        else:
            self._request_start()

    def adopt(self, identity: ProcessIdentity, pidfd: int, incarnation: int) -> None:
        """Adopt a process that an earlier supervisor started; it is ready again once it reports so."""
        saved = self._context.unit_states.read(self.name)
        state = saved or PersistedUnitState(desired_up=True, digest=self.spec.digest)
        is_same = state.incarnation == incarnation
        self._process.adopt(identity, pidfd, incarnation)
        self.desired_up = self.desired_up or state.desired_up
        self.restarts = state.restarts
        self.version = state.version if is_same else ""
        self.last_exit = state.last_exit
        self.running_digest = state.digest if is_same else self.spec.digest
        self.started_at = self._context.loop.time()
        self.state, self.reason = State.STARTING, "adopted, no report yet"
        self.since_s = time.time()
        self.log_start = state.log_start if is_same else log_size(self._log)
        self._monitor.listen()
        if self.desired_up:
            if saved is None:  # an overdue start would have been ended by its supervisor
                was_ready = (
                    lease.lease_age_s(self._context.state_dir.lease_file(self.name))
                    > self.spec.start_timeout_s
                )
            else:
                was_ready = is_same and state.ready_s is not None
            self._timers.arm("start-timeout", self.spec.start_timeout_s, self._on_start_timeout)
            self._monitor.start_adopted(self.spec, identity.pid, self.log_start, was_ready=was_ready)
        else:
            self._fire(UnitEvent.STOP, "stopped")  # its supervisor exited during the stop

    def adopt_leftovers(self, pids: Sequence[int]) -> None:
        """Terminate leftovers of a process that exited while no supervisor ran; a start waits for that."""
        self.is_leftover = True
        self._process.adopt_leftover(pids[0])
        self.state, self.since_s = State.FAILING, time.time()
        self.reason = f"failing: leftover process {', '.join(map(str, pids))}"
        self._context.on_transition(self)
        self._process.wait_until_gone(self._on_leftovers_gone)

    def _on_leftovers_gone(self) -> None:
        self.is_leftover = self._restart_requested = False
        self._process.mark_gone()
        self._apply_pending_spec()
        self._context.on_exit(self)
        if self.desired_up:
            self._schedule_restart(UnitEvent.RETRY, self.reason, 0.0, is_counted=False)
        else:
            self._fire(UnitEvent.FINISHED, "exited while no supervisor ran; its leftover processes are gone")

    # ---- exit

    def _on_start_timeout(self) -> None:
        self._exit_cause = "no-readiness-after-adoption" if self._process.is_adopted else "timeout"
        self._fire(UnitEvent.TIMEOUT, self._describe_timeout())

    def _describe_timeout(self) -> str:
        return describe_start_timeout(
            self.spec, self.pid, self._log, self.log_start, self._monitor.last_finding
        )

    def _on_frozen(self, reason: str) -> None:
        self._exit_cause = "frozen"
        append_end_notice(self._log, self._redactor.redact(reason))
        self._fire(UnitEvent.FROZEN, reason)

    def _terminate(self) -> None:
        self._timers.cancel("start-timeout")
        self._monitor.stop()
        if self._process.is_running:
            if self.was_killed:
                self._process.kill()
            else:
                self._process.terminate()
            self._timers.arm("stop-grace", stop_grace_s(self.spec, self._exit_cause), self._kill)
        elif self._process.is_absent:
            self._after_exit(ProcessExit(None, "exit", False), self.reason)
        # Otherwise the spawn is pending or leftovers are being terminated: both call back.

    def _kill(self) -> None:
        self.was_killed = True
        self._process.kill()

    def on_exit(self, status: int | None) -> None:
        """Handle the exit of the process; the decision waits until nothing of it is left."""
        if not self._process.is_running:
            return  # reported twice, by a forker that exited and by the kernel
        self._monitor.drain()  # messages sent before the exit count
        self._disarm()
        self._process.detach()
        is_expected = self._exit_cause != "exit" or self.state is State.STOPPING
        fatal_error = "" if is_expected else self._monitor.fatal_error
        code, was_ready = os_process.exit_code(status), self.ready_at is not None
        process_exit = ProcessExit(
            code,
            self._exit_cause,
            was_ready,
            is_permanent=bool(fatal_error),
            is_injected=self.has_injected_fault,
        )
        uptime_s = self._context.loop.time() - self.started_at
        reason = (
            self.reason
            if is_expected
            else describe_exit_reason(process_exit, uptime_s, self._log, self.log_start)
        )
        reason = f"cannot start: {fatal_error}" if fatal_error else reason
        if self._context.was_oom_killed(self):
            reason = f"{reason}; it had more than its `memory` of {format_size(self.spec.memory_bytes or 0)}"
        self._process.wait_until_gone(lambda: self._after_exit(process_exit, reason))
        if self._process.is_cleaning_up:
            self._fire(UnitEvent.UNHEALTHY, f"{reason}; processes that it started still run")

    def _on_leftover(self, reason: str) -> None:
        self._update_reason(reason)

    def _after_exit(self, process_exit: ProcessExit, reason: str) -> None:
        """Let the restart policy decide what follows."""
        self._process.mark_gone()
        self.awaits_admission = False
        self.health = self.memory = None
        self._timers.cancel("start-timeout")
        self._context.on_exit(self)
        if self.desired_up and not self._restart_requested and process_exit.cause != "not-started":
            self._record_exit(reason)
        if self._restart_requested:
            self._restart_requested = False
            self._apply_pending_spec()
            self._schedule_restart(UnitEvent.RETRY, "restarting", 0.0)
            return
        self._has_exited_with_error = process_exit.code != 0
        decision = decide_exit(
            self.spec, process_exit, self.desired_up, self._budget, self._context.loop.time()
        )
        if decision.event is UnitEvent.RETRY:
            retry = partial(
                self._schedule_restart,
                decision.event,
                reason,
                decision.delay_s,
                is_counted=decision.is_counted,
            )
            if process_exit.may_be_permanent and not self._is_diagnosed:
                self._diagnose(reason, retry)
            else:
                retry()
            return
        is_restart_limit = process_exit.cause != "timeout" and not process_exit.is_permanent
        if decision.event is UnitEvent.GIVE_UP and is_restart_limit and self._budget.restart_count:
            reason = f"given up after {format_count(self._budget.restart_count, 'restart')}: {reason}"
        self._fire(decision.event, reason)

    def _record_exit(self, reason: str) -> None:
        """Keep the reason of the exit, to be shown when it is ready again."""
        self.last_exit = LastExit(self._redactor.redact(reason)[:_MAX_REASON_CHARS], time.time())

    def _diagnose(self, reason: str, retry: Callable[[], None]) -> None:
        """Retry, unless its code has a fault that prevents every start; searched once per requested start."""
        self._is_diagnosed = True
        self._fire(UnitEvent.RETRY, reason)
        last_line = most_relevant_line(self._log, self.log_start)
        # A start or stop meanwhile cancels the timer.
        self._timers.arm("diagnosis", _DIAGNOSIS_TIMEOUT_S, retry)
        self._context.find_startup_fault(self, lambda fault: self._on_diagnosis(fault, last_line, retry))

    def _on_diagnosis(self, fault: Fault | None, last_line: str, retry: Callable[[], None]) -> None:
        if not self._timers.pop("diagnosis"):
            return
        if fault is not None and is_confirmed_by(fault, last_line):
            self._fire(UnitEvent.GIVE_UP, f"cannot start: {describe_startup_fault(fault)}")
        else:
            retry()

    def _schedule_restart(
        self, event: UnitEvent, reason: str, delay_s: float, *, is_counted: bool = True
    ) -> None:
        self.restarts += is_counted
        self.last_failure = self._redactor.redact(reason)
        self._fire(event, reason)
        self._save_state()
        self._timers.arm("backoff", with_jitter(delay_s), lambda: self._fire(UnitEvent.BACKOFF_OVER, reason))

    def _apply_pending_spec(self) -> None:
        if self._pending_spec is not None:
            self.spec, self._pending_spec = self._pending_spec, None
            self._redactor = Redactor(self.spec.env)
            self._budget = RestartBudget(self.spec.restart_times, self.spec.restart_within_s)

    def _save_state(self) -> None:
        self._context.unit_states.write(self.name, _persisted_state(self))

    def _disarm(self) -> None:
        self._timers.cancel_all()
        self._monitor.stop()


def _persisted_state(unit: Unit) -> PersistedUnitState:
    """Return the state of a unit that is to be kept."""
    return PersistedUnitState(
        desired_up=unit.desired_up,
        digest=unit.running_digest,
        incarnation=unit.incarnation,
        restarts=unit.restarts,
        ready_s=unit.since_s if unit.is_ready else None,
        reason=unit.reason,
        state=unit.state,
        log_start=unit.log_start,
        last_lines=unit.last_lines,
        version=unit.version,
        last_exit=unit.last_exit,
    )
