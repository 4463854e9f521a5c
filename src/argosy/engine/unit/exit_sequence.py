"""The end of one process of a unit, from its exit to what follows, one step after the other.

exit        its last messages are read, and the reason is described
leftovers   nothing of the process is left; nothing follows earlier, not even a restart
policy      `decide_exit` turns the exit into FINISHED, RETRY or GIVE_UP
diagnosis   a start that failed as if it always would is looked up in the code, once
back-off    the delay before the next start
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Protocol

from argosy.engine.logs.log_file import most_relevant_line
from argosy.engine.process import os_process
from argosy.engine.protocol.fork_protocol import EXIT_CODE_TEXT
from argosy.engine.protocol.messages import LastExit
from argosy.engine.protocol.state_machine import State, UnitEvent
from argosy.engine.unit.restart_policy import ProcessExit, RestartBudget, decide_exit, with_jitter
from argosy.engine.unit.startup_fault_search import describe_startup_fault, is_confirmed_by
from argosy.fleet.quantities import format_count, format_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from argosy.engine.plan.process_plan import ProcessSpec
    from argosy.engine.process.timers import Timers
    from argosy.engine.unit.agent_monitor import AgentMonitor
    from argosy.engine.unit.process_backend import ProcessBackend
    from argosy.engine.unit.services import UnitServices
    from argosy.fault import Fault

_DIAGNOSIS_TIMEOUT_S = 15.0

# The stored length of an exit reason; the record of a unit's state has room for a page.
_MAX_REASON_CHARS = 500


class ExitingUnit(Protocol):
    """The unit, as the end of its process sees it."""

    name: str
    spec: ProcessSpec
    state: State
    reason: str
    desired_up: bool
    restart_requested: bool
    has_injected_fault: bool
    exit_cause: str
    started_at: float
    ready_at: float | None
    log_start: int
    restarts: int
    last_exit: LastExit | None
    last_failure: str

    def fire(self, event: UnitEvent, reason: str) -> None: ...
    def redact(self, text: str) -> str: ...
    def disarm(self) -> None: ...
    def forget_process(self) -> None: ...
    def apply_pending_spec(self) -> None: ...
    def save_state(self) -> None: ...
    def find_startup_fault(self, on_result: Callable[[Fault | None], None]) -> None: ...


class ExitSequence:
    """The ends of the successive processes of one unit, and the restarts that they cost.

    has_failed: the last process exited with an error.
    """

    def __init__(
        self,
        unit: ExitingUnit,
        services: UnitServices,
        process: ProcessBackend,
        monitor: AgentMonitor,
        timers: Timers,
    ) -> None:
        self.has_failed = False
        self._unit = unit
        self._services = services
        self._process = process
        self._monitor = monitor
        self._timers = timers
        self._is_diagnosed = False  # whether its code was searched since the last requested start
        self.reset_limit()

    def reset_limit(self) -> None:
        """Forget all restarts, and use the limit of the unit's spec from now on."""
        spec = self._unit.spec
        self._budget = RestartBudget(spec.restart_times, spec.restart_within_s)

    def reset_diagnosis(self) -> None:
        """Search the code again if the next start fails: a user has requested it."""
        self._is_diagnosed = False

    # ---- the steps

    def begin(self, status: int | None) -> None:
        """1. Describe the exit of the process; the rest waits until nothing of it is left."""
        unit = self._unit
        self._monitor.drain()  # messages sent before the exit count
        unit.disarm()
        is_expected = unit.exit_cause != "exit" or unit.state is State.STOPPING
        fatal_error = "" if is_expected else self._monitor.fatal_error
        process_exit = ProcessExit(
            os_process.exit_code(status),
            unit.exit_cause,
            was_ready=unit.ready_at is not None,
            is_permanent=bool(fatal_error),
            is_injected=unit.has_injected_fault,
        )
        reason = unit.reason if is_expected else self._describe(process_exit)
        reason = f"cannot start: {fatal_error}" if fatal_error else reason
        if self._services.launcher.was_oom_killed(unit.name):
            reason = f"{reason}; it had more than its `memory` of {format_size(unit.spec.memory_bytes or 0)}"
        if not self._process.clear_leftovers(partial(self.decide, process_exit, reason)):
            unit.fire(UnitEvent.UNHEALTHY, f"{reason}; processes that it started still run")

    def decide(self, process_exit: ProcessExit, reason: str) -> None:
        """2. Nothing is left of the process: let the restart policy decide what follows."""
        unit = self._unit
        unit.forget_process()
        if unit.restart_requested:
            unit.restart_requested = False
            unit.apply_pending_spec()
            self.schedule_restart("restarting", 0.0)
            return
        if unit.desired_up and process_exit.cause != "not-started":
            self.record(reason)
        self.has_failed = process_exit.code != 0
        now = self._services.loop.time()
        decision = decide_exit(unit.spec, process_exit, unit.desired_up, self._budget, now)
        if decision.event is not UnitEvent.RETRY:
            is_restart_limit = process_exit.cause != "timeout" and not process_exit.is_permanent
            if decision.event is UnitEvent.GIVE_UP and is_restart_limit and self._budget.restart_count:
                reason = f"given up after {format_count(self._budget.restart_count, 'restart')}: {reason}"
            unit.fire(decision.event, reason)
            return
        retry = partial(self.schedule_restart, reason, decision.delay_s, is_counted=decision.is_counted)
        if process_exit.may_be_permanent and not self._is_diagnosed:
            self._diagnose(reason, retry)
        else:
            retry()

    def _diagnose(self, reason: str, retry: Callable[[], None]) -> None:
        """3. Retry, unless the code has a fault that prevents every start; once per requested start."""
        self._is_diagnosed = True
        self._unit.fire(UnitEvent.RETRY, reason)
        last_line = most_relevant_line(self._process.log, self._unit.log_start)
        # A start or stop meanwhile cancels the timer.
        self._timers.arm("diagnosis", _DIAGNOSIS_TIMEOUT_S, retry)
        self._unit.find_startup_fault(lambda fault: self._on_diagnosis(fault, last_line, retry))

    def _on_diagnosis(self, fault: Fault | None, last_line: str, retry: Callable[[], None]) -> None:
        if not self._timers.pop("diagnosis"):
            return
        if fault is not None and is_confirmed_by(fault, last_line):
            self._unit.fire(UnitEvent.GIVE_UP, f"cannot start: {describe_startup_fault(fault)}")
        else:
            retry()

    def schedule_restart(self, reason: str, delay_s: float, *, is_counted: bool = True) -> None:
        """4. Start again after a delay."""
        unit = self._unit
        unit.restarts += is_counted
        unit.last_failure = unit.redact(reason)
        unit.fire(UnitEvent.RETRY, reason)
        unit.save_state()
        self._timers.arm("backoff", with_jitter(delay_s), partial(unit.fire, UnitEvent.BACKOFF_OVER, reason))

    # ---- reasons

    def record(self, reason: str) -> None:
        """Keep the reason of the exit, to be shown when the unit is ready again."""
        self._unit.last_exit = LastExit(self._unit.redact(reason)[:_MAX_REASON_CHARS], time.time())

    def _describe(self, process_exit: ProcessExit) -> str:
        """Return how the process exited; for one that was never ready also its last log line."""
        code = process_exit.code
        description = EXIT_CODE_TEXT.get(code or 0) or os_process.describe_exit(code)
        if process_exit.was_ready:
            return description
        uptime_s = self._services.loop.time() - self._unit.started_at
        last_line = most_relevant_line(self._process.log, self._unit.log_start)
        output = f"last line: {last_line}" if last_line else "no output"
        return f"{description} after {uptime_s:.1f} s, before it was ready; {output}"
