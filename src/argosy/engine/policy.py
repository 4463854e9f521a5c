"""The restart policy: what follows when an agent's process has ended. Pure; the clock comes in."""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.order import NOT_EXECUTABLE, NOT_FOUND, NOT_STARTED
from argosy.engine.state import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from argosy.engine.plan import ProcessSpec

FROZEN_GRACE_S = 2.0


class Verdict(NamedTuple):
    """The event for the state machine, and the seconds to wait before a restart; whether that is one."""

    event: Event
    delay_s: float = 0.0
    is_counted: bool = True


class Budget:
    """The restarts of one agent within a window that slides (intensity and period of OTP supervisors).

    It slides only for what had become ready: starts that fail count however long each of them takes,
    or on a machine that is busy with many of them they would never be too many.
    """

    def __init__(self, times: int, within_s: float) -> None:
        self._times = times
        self._within_s = within_s
        self._spent: deque[float] = deque()

    def spend(self, now: float, *, was_ready: bool) -> int | None:
        """Count one restart; return how many that makes within the window, None when it is too many."""
        while was_ready and self._spent and self._spent[0] <= now - self._within_s:
            self._spent.popleft()
        if len(self._spent) >= self._times:
            return None
        self._spent.append(now)
        return len(self._spent)

    @property
    def spent(self) -> int:
        """How many restarts count now."""
        return len(self._spent)

    def forgive(self) -> None:
        """Forget all restarts: a person has asked for a start."""
        self._spent.clear()


class Ending(NamedTuple):
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
    is_final: bool = False
    is_drill: bool = False

    @property
    def may_be_final(self) -> bool:
        """Whether its code may be what ends every start: a program that got no further than its errors."""
        return self.cause == "exit" and not self.was_ready and self.code in (1, 2)


def grace_s(spec: ProcessSpec, cause: str) -> float:
    """Return how long a process that was told to end may take before it is killed, by the cause of its end.

    Whose work loop stands still hardly hears the signal, and is missed meanwhile.
    """
    return min(spec.stop_timeout_s, FROZEN_GRACE_S) if cause == "frozen" else spec.stop_timeout_s


def decide_exit(spec: ProcessSpec, ending: Ending, wanted: bool, budget: Budget, now: float) -> Verdict:
    """Return what follows the end of a process, by its `restart` and its budget."""
    if not wanted:
        return Verdict(Event.FINISHED)
    if ending.code in NOT_STARTED and ending.cause == "exit":
        return Verdict(Event.RETRY, 0.05, is_counted=False)  # no user code has run: counts towards no limit
    if ending.is_final and spec.restart != "never":
        return Verdict(Event.GIVE_UP)
    if not _shall_restart(spec.restart, ending):
        is_clean = ending.code == 0 and ending.cause == "exit"
        return Verdict(Event.FINISHED if is_clean or spec.restart == "never" else Event.GIVE_UP)
    if ending.is_drill:
        return Verdict(Event.RETRY)  # the agent is not at fault: spends no restart, and waits for none
    count = budget.spend(now, was_ready=ending.was_ready)
    if count is None:
        return Verdict(Event.GIVE_UP)
    return Verdict(Event.RETRY, _delay(spec, count, ending.was_ready))


def _shall_restart(restart: str, ending: Ending) -> bool:
    if restart == "always":
        return True
    if restart == "never" or ending.cause == "timeout":
        return False  # a start that took too long once will take too long again
    if ending.code in (NOT_FOUND, NOT_EXECUTABLE) and not ending.was_ready:
        return False  # the program is not there
    return ending.cause != "exit" or ending.code != 0


def jittered(delay_s: float, chance: Callable[[], float] = random.random) -> float:
    """Return between half and all of a wait, by `chance` from 0 to 1, so that a crowd comes back one by one.

    "Equal jitter" (Brooker, Exponential Backoff And Jitter, 2015).
    """
    return delay_s * (0.5 + 0.5 * chance())


def _delay(spec: ProcessSpec, count: int, was_ready: bool) -> float:
    """Double from `first` to `most`; what was ready and died once is started again at once."""
    doublings = count - 2 if was_ready else count - 1
    if doublings < 0:
        return 0.0
    return min(spec.backoff_first_s * 2.0 ** min(doublings, 32), spec.backoff_most_s)
