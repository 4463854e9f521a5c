"""The start of one agent, from the wish to its readiness, one step after the other.

Each step is a condition. One that holds lets the next follow at once; one that does not yet hold says who
resumes the start. All of it runs in the event that makes a condition true, never one turn of the loop later:
a stop finds each step finished or waiting, and READY=1 that arrives with the fork report is not lost.

The state machine stays the authority over the states: it begins a start (SPAWN), and it ends one
(NOTIFY_DEPENDENTS when ready, TERMINATE when stopped or too late).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from argosy.engine.admission.queue import AdmissibleUnit
from argosy.engine.logs.log_file import log_size, most_relevant_line
from argosy.engine.protocol.state_machine import UnitEvent
from argosy.engine.unit.dependency_state import dependency_status, evaluate_dependencies

if TYPE_CHECKING:
    from argosy.engine.process.timers import Timers
    from argosy.engine.unit.agent_monitor import AgentMonitor
    from argosy.engine.unit.process_backend import ProcessBackend
    from argosy.engine.unit.services import UnitServices


class StartingUnit(AdmissibleUnit, Protocol):
    """The unit, as its start sees it."""

    log_start: int
    running_digest: str
    exit_cause: str

    def fire(self, event: UnitEvent, reason: str) -> None: ...
    def reset_for_start(self) -> None: ...
    def fail_start(self, reason: str) -> None: ...


class StartSequence:
    """The steps of a start, in their order."""

    def __init__(
        self,
        unit: StartingUnit,
        services: UnitServices,
        process: ProcessBackend,
        monitor: AgentMonitor,
        timers: Timers,
    ) -> None:
        self._unit = unit
        self._services = services
        self._process = process
        self._monitor = monitor
        self._timers = timers
        # 1 is `check_needs`: the state machine answers it with SPAWN.
        self._steps = (
            self._is_startable,  # 2
            self._is_admitted,  # 3
            self._has_no_survivor,  # 4
            self._is_last_process_gone,  # 5
            self._are_ports_free,  # 6
            self._is_forked,  # 7
            self._is_ready,  # 8
        )
        self._position = len(self._steps)

    # ---- the course of a start

    def begin(self) -> None:
        """Take the steps from the first one on; all needs are ready."""
        self._position = -1
        self.resume()

    def resume(self) -> None:
        """Take the steps that follow the one that waited."""
        self._position += 1
        while self._position < len(self._steps) and self._steps[self._position]():
            self._position += 1

    def cancel(self) -> None:
        """Take no further step; what the last one waits for comes to nothing."""
        self._position = len(self._steps)
        self._unit.awaits_admission = False
        self._timers.cancel("start-timeout")

    # ---- the steps

    def check_needs(self) -> None:
        """1. Every agent that it needs is ready, else it waits or is blocked; called when one changes."""
        unit = self._unit
        status = dependency_status(unit.spec.need_names(), self._services.agents)
        if outcome := evaluate_dependencies(status, unit.state):
            unit.fire(*outcome)

    def _is_startable(self) -> bool:
        """2. Its program can be started at all, as far as the plan knows."""
        self._mark_log_start()
        if self._unit.spec.start_error:
            self._unit.fire(UnitEvent.GIVE_UP, self._unit.spec.start_error)
            return False
        return True

    def _is_admitted(self) -> bool:
        """3. Processors, memory and GPU allow one more start; the admission queue resumes it."""
        self._unit.awaits_admission = True
        self._services.ensure_state_dir()
        self._services.admission.request(self._unit, self._on_admitted)
        return False

    def _on_admitted(self) -> None:
        self._unit.awaits_admission = False
        self._unit.reset_for_start()
        self.resume()

    def _has_no_survivor(self) -> bool:
        """4. No process of an earlier supervisor runs; one that does is adopted instead."""
        try:
            return not self._process.adopt_survivor()
        except OSError as error:
            return self._fail(f"its lease cannot be read: {error.strerror}")

    def _is_last_process_gone(self) -> bool:
        """5. Nothing of its last process is left; the cleanup resumes it."""
        self._process.clear_leftovers(self.resume)
        return False

    def _are_ports_free(self) -> bool:
        """6. Nobody else listens on its ports; a port in use is a failed start like any other."""
        self._mark_log_start()  # leftovers of the last process may have printed until now
        spec = self._unit.spec
        port_conflict = self._services.listeners.port_conflict(spec.ports, spec.probe_port)
        return self._fail(port_conflict) if port_conflict else True

    def _is_forked(self) -> bool:
        """7. It has a process; the fork report, or its cell, resumes it. From here on its time counts."""
        unit = self._unit
        unit.running_digest = unit.spec.digest
        self.arm_timeout()
        try:
            self._monitor.listen()
            self._process.request()
        except OSError as error:
            return self._fail(f"{error.filename or 'its notify socket'}: {error.strerror}")
        return False

    def _is_ready(self) -> bool:
        """8. Its own report or its probe says that it is ready; that event ends the start."""
        self._monitor.start(self._unit.spec, self._process.pid or 0, self._unit.log_start)
        return False

    # ---- what ends it early

    def _fail(self, reason: str) -> bool:
        self._unit.fail_start(f"not started, {reason}")
        return False

    def arm_timeout(self) -> None:
        """Stop it unless it is ready within its `start_timeout`."""
        self._timers.arm("start-timeout", self._unit.spec.start_timeout_s, self._on_timeout)

    def _on_timeout(self) -> None:
        unit = self._unit
        unit.exit_cause = "no-readiness-after-adoption" if self._process.is_adopted else "timeout"
        process = f"process alive, pid {unit.pid}" if unit.pid else "no process"
        last_line = most_relevant_line(self._process.log, unit.log_start)
        output = f"last line: {last_line}" if last_line else "no output"
        finding = f"{self._monitor.last_finding} ({process}, {output})"
        unit.fire(UnitEvent.TIMEOUT, f"was not ready after {unit.spec.start_timeout_s:.1f} s: {finding}")

    def _mark_log_start(self) -> None:
        """Exclude existing log lines from the output of this start."""
        self._unit.log_start = log_size(self._process.log)
