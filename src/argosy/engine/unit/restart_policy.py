"""The restart policy: what follows when an agent's process has ended. Pure; the clock comes in."""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.fork.fork_protocol import NOT_EXECUTABLE, NOT_FOUND, NOT_STARTED
from argosy.engine.unit.state_machine import UnitEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from argosy.engine.unit.process_plan import ProcessSpec

FROZEN_GRACE_S = 2.0


class ExitDecision(NamedTuple):
    """The event for the state machine, and the seconds to wait before a restart; whether that is one."""

    event: UnitEvent
    delay_s: float = 0.0
    is_counted: bool = True


class RestartBudget:
    """The restarts of one agent within a window that slides (intensity and period of OTP supervisors).

    It slides only for what had become ready: starts that fail count however long each of them takes,
    or on a machine that is busy with many of them they would never be too many.
    """

    def __init__(self, max_restarts: int, window_s: float) -> None:
        self._max_restarts = max_restarts
        self._window_s = window_s
        self._restart_times: deque[float] = deque()

    def record_restart(self, now: float, *, was_ready: bool) -> int | None:
        """Count one restart; return how many that makes within the window, None when it is too many."""
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

    def reset(self) -> None:
        """Forget all restarts: a person has asked for a start."""
        self._restart_times.clear()


class ProcessExit(NamedTuple):
    """How a process came to its end.

    code: exit code, negative for a signal, None when unknown. cause: "exit", "timeout" (it missed its
    start deadline), "unheard" (it was adopted while it started, and may have said that it is ready
    while nobody listened), "frozen" (it missed its watchdog), "obstacle" (never started: a port was
    held, or no process was to be had). is_final: by its own word, no start ends otherwise. is_drill: a
    drill brought it about.
    """

    code: int | None
    cause: str
    was_ready: bool
    is_permanent: bool = False
    is_injected: bool = False

    @property
    def may_be_permanent(self) -> bool:
        """Whether its code may be what ends every start: a program that got no further than its errors."""
        return self.cause == "exit" and not self.was_ready and self.code in (1, 2)


def stop_grace_s(spec: ProcessSpec, cause: str) -> float:
    """Return how long a process that was told to end may take before it is killed, by the cause of its end.

    Whose work loop stands still hardly hears the signal, and is missed meanwhile.
    """
    return min(spec.stop_timeout_s, FROZEN_GRACE_S) if cause == "frozen" else spec.stop_timeout_s


def decide_exit(
    spec: ProcessSpec, process_exit: ProcessExit, desired_up: bool, budget: RestartBudget, now: float
) -> ExitDecision:
    """Return what follows the end of a process, by its `restart` and its budget."""
    if not desired_up:
        return ExitDecision(UnitEvent.FINISHED)
    if process_exit.code in NOT_STARTED and process_exit.cause == "exit":
        return ExitDecision(
            UnitEvent.RETRY, 0.05, is_counted=False
        )  # no user code has run: counts towards no limit
    if process_exit.is_permanent and spec.restart != "never":
        return ExitDecision(UnitEvent.GIVE_UP)
    if not _should_restart(spec.restart, process_exit):
        is_clean = process_exit.code == 0 and process_exit.cause == "exit"
        return ExitDecision(UnitEvent.FINISHED if is_clean or spec.restart == "never" else UnitEvent.GIVE_UP)
    if process_exit.is_injected:
        return ExitDecision(
            UnitEvent.RETRY
        )  # the agent is not at fault: spends no restart, and waits for none
    count = budget.record_restart(now, was_ready=process_exit.was_ready)
    if count is None:
        return ExitDecision(UnitEvent.GIVE_UP)
    return ExitDecision(UnitEvent.RETRY, _backoff_s(spec, count, process_exit.was_ready))


def _should_restart(restart: str, process_exit: ProcessExit) -> bool:
    if restart == "always":
        return True
    if restart == "never" or process_exit.cause == "timeout":
        return False  # a start that took too long once will take too long again
    if process_exit.code in (NOT_FOUND, NOT_EXECUTABLE) and not process_exit.was_ready:
        return False  # the program is not there
    return process_exit.cause != "exit" or process_exit.code != 0


def with_jitter(delay_s: float, random_fraction: Callable[[], float] = random.random) -> float:
    """Return between half and all of a wait, by `chance` from 0 to 1, so that a crowd comes back one by one.

    "Equal jitter" (Brooker, Exponential Backoff And Jitter, 2015).
    """
    return delay_s * (0.5 + 0.5 * random_fraction())


def _backoff_s(spec: ProcessSpec, count: int, was_ready: bool) -> float:
    """Double from `first` to `most`; what was ready and died once is started again at once."""
    doublings = count - 2 if was_ready else count - 1
    if doublings < 0:
        return 0.0
    return min(spec.backoff_first_s * 2.0 ** min(doublings, 32), spec.backoff_most_s)
