"""The restart policy: what follows when an agent's process has exited. Pure; the clock comes in."""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.protocol.fork_protocol import NOT_EXECUTABLE, NOT_FOUND, NOT_STARTED
from argosy.engine.protocol.state_machine import UnitEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from argosy.engine.plan.process_plan import ProcessSpec

FROZEN_GRACE_S = 2.0


class ExitDecision(NamedTuple):
    """The event for the state machine, the delay before a restart, and whether the restart counts."""

    event: UnitEvent
    delay_s: float = 0.0
    is_counted: bool = True


class RestartBudget:
    """The restarts of one agent within a sliding window (intensity and period of OTP supervisors).

    The window slides only for processes that became ready: failed starts count however long each takes;
    otherwise slow starts on a busy machine would never exceed the limit.
    """

    def __init__(self, max_restarts: int, window_s: float) -> None:
        self._max_restarts = max_restarts
        self._window_s = window_s
        self._restart_times: deque[float] = deque()

    def record_restart(self, now: float, *, was_ready: bool) -> int | None:
        """Count one restart; return the count within the window, None when it exceeds the limit."""
        while was_ready and self._restart_times and self._restart_times[0] <= now - self._window_s:
            self._restart_times.popleft()
        if len(self._restart_times) >= self._max_restarts:
            return None
        self._restart_times.append(now)
        return len(self._restart_times)

    @property
    def restart_count(self) -> int:
        """How many restarts count now."""
        return len(self._restart_times)


class ProcessExit(NamedTuple):
    """How a process exited.

    code: exit code, negative for a signal, None when unknown. cause: "exit", "timeout" (not ready by its
    start time-out), "no-readiness-after-adoption" (it was adopted while it started, and may have reported
    readiness while no supervisor ran), "frozen" (its watchdog ran out), "not-started" (a port was in use, or
    no process could be created). is_permanent: by its own report, every start exits alike. is_injected: a
    drill caused the exit.
    """

    code: int | None
    cause: str
    was_ready: bool
    is_permanent: bool = False
    is_injected: bool = False

    @property
    def may_be_permanent(self) -> bool:
        """Whether every start may exit like this one: an error code before it was ready."""
        return self.cause == "exit" and not self.was_ready and self.code in (1, 2)


def stop_grace_s(spec: ProcessSpec, cause: str) -> float:
    """Return how long a process may take to exit before it is killed, by the cause of its end.

    A frozen process hardly handles the signal, and its dependents wait for the restart.
    """
    return min(spec.stop_timeout_s, FROZEN_GRACE_S) if cause == "frozen" else spec.stop_timeout_s


def decide_exit(
    spec: ProcessSpec, process_exit: ProcessExit, desired_up: bool, budget: RestartBudget, now: float
) -> ExitDecision:
    """Return what follows the exit of a process, by its `restart` policy and its budget."""
    if not desired_up:
        return ExitDecision(UnitEvent.FINISHED)
    if process_exit.code in NOT_STARTED and process_exit.cause == "exit":
        # No user code has run: counts towards no limit.
        return ExitDecision(UnitEvent.RETRY, 0.05, is_counted=False)
    if process_exit.is_permanent and spec.restart != "never":
        return ExitDecision(UnitEvent.GIVE_UP)
    if not _should_restart(spec.restart, process_exit):
        is_clean = process_exit.code == 0 and process_exit.cause == "exit"
        return ExitDecision(UnitEvent.FINISHED if is_clean or spec.restart == "never" else UnitEvent.GIVE_UP)
    if process_exit.is_injected:
        # The agent is not at fault: costs no restart and no delay.
        return ExitDecision(UnitEvent.RETRY)
    count = budget.record_restart(now, was_ready=process_exit.was_ready)
    if count is None:
        return ExitDecision(UnitEvent.GIVE_UP)
    return ExitDecision(UnitEvent.RETRY, _backoff_s(spec, count, process_exit.was_ready))


def _should_restart(restart: str, process_exit: ProcessExit) -> bool:
    if restart == "always":
        return True
    if restart == "never" or process_exit.cause == "timeout":
        return False  # the next start would take as long
    if process_exit.code in (NOT_FOUND, NOT_EXECUTABLE) and not process_exit.was_ready:
        return False  # the program does not exist
    return process_exit.cause != "exit" or process_exit.code != 0


def with_jitter(delay_s: float, random_fraction: Callable[[], float] = random.random) -> float:
    """Return a random delay between half and all of `delay_s`, so that agents do not restart at once.

    random_fraction(): a number from 0 to 1. "Equal jitter" (Brooker, Exponential Backoff And Jitter,
    2015).
    """
    return delay_s * (0.5 + 0.5 * random_fraction())


def _backoff_s(spec: ProcessSpec, count: int, was_ready: bool) -> float:
    """Double from `first` to `most`; the first restart of an agent that was ready has no delay."""
    doublings = count - 2 if was_ready else count - 1
    if doublings < 0:
        return 0.0
    return min(spec.backoff_first_s * 2.0 ** min(doublings, 32), spec.backoff_most_s)
