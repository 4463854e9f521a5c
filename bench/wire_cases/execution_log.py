"""Logs executions at the callee and outcomes at the callers, and reconciles the two.

An execution is one `write` of 24 bytes to a file opened with O_APPEND, before the reply. It survives a kill
of the process and does not depend on argosy.
"""

from __future__ import annotations

import enum
import os
import struct
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

_EXECUTION: Final = struct.Struct("<QQQ")
_OUTCOME: Final = struct.Struct("<QQ")
_Execution = tuple[int, int, int]
CALLER_SHIFT: Final = 40  # a number is the caller's index, then a count

# The deadline check and the handler's first line may be separated by a turn of the loop or the scheduler.
LATE_S: Final = 0.1
# A process frozen between the two executes that one request after it resumes. Of late executions this close
# together, one is attributed to the pause and the others count as faults.
_ONE_PAUSE_US: Final = 100_000


class Outcome(enum.IntEnum):
    """How a request ended for its caller; the names of errors are those of `argosy.wire.errors`."""

    ANSWERED = 0
    WRONG = 1
    NotSent = 2
    Overloaded = 3
    PeerLost = 4
    PeerFrozen = 5
    DeadlineExceeded = 6
    TIMED_OUT = 7  # a legacy client's own time-out: the outcome is unknown
    REFUSED = 8  # an `error` answer to a legacy client: it was not executed

    @property
    def means_not_executed(self) -> bool:
        """Whether this outcome guarantees that the request was not executed."""
        return self in (Outcome.NotSent, Outcome.Overloaded, Outcome.REFUSED)


class ExecutionLog:
    """A callee's log of executions."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def append(self, number: int, deadline_us: int) -> None:
        """Log that a request is executed now."""
        os.write(self._fd, _EXECUTION.pack(number, deadline_us, time.monotonic_ns() // 1000))


class OutcomeLog:
    """A caller's log of how its requests ended."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def append(self, number: int, outcome: Outcome) -> None:
        """Log how one request ended; each number once."""
        self._file.write(_OUTCOME.pack(number, outcome))

    def close(self) -> None:
        """Flush and close the log."""
        self._file.close()


class Reconciliation(msgspec.Struct, frozen=True):
    """The counts of all requests; if none is lost, the outcomes add up to `sent`.

    lost: neither a reply nor a named error long after the deadline. answered_not_logged: answered but in no
    log. executed_twice: executed more than once. late: executed after the deadline, without those of legacy
    clients, which send none. executed_after_pause: the first late one after each pause of its callee, see
    `_late`. executed_despite_error: executed although the caller's error guarantees that they were not.
    """

    sent: int
    outcomes: dict[str, int]
    executed: int
    lost: int
    wrong: int
    answered_not_logged: int
    executed_twice: int
    late: int
    executed_after_pause: int
    executed_despite_error: int


def reconcile(
    sent: int, outcomes: Iterable[Path], execution_logs: Iterable[Path], old_callers: set[int]
) -> Reconciliation:
    """Reconcile the outcomes at the callers with the callees' logs.

    sent: counted by the callers. old_callers: indices of the callers that send no deadline.
    """
    counts: Counter[Outcome] = Counter()
    answered, not_executed = array("Q"), set[int]()
    for number, outcome in _outcomes(outcomes):
        counts[outcome] += 1
        if outcome is Outcome.ANSWERED:
            answered.append(number)
        elif outcome.means_not_executed:
            not_executed.add(number)
    executed, late, executed_after_pause = array("Q"), 0, 0
    for path in execution_logs:
        done = list(_executions(path))
        executed.extend(number for number, _, _ in done)
        faults, pauses = _late(e for e in done if e[0] >> CALLER_SHIFT not in old_callers)
        late, executed_after_pause = late + faults, executed_after_pause + pauses
    once = set(executed)
    return Reconciliation(
        sent=sent,
        outcomes={outcome.name: count for outcome, count in sorted(counts.items())},
        executed=len(executed),
        lost=sent - counts.total(),
        wrong=counts[Outcome.WRONG],
        answered_not_logged=sum(number not in once for number in answered),
        executed_twice=len(executed) - len(once),
        late=late,
        executed_after_pause=executed_after_pause,
        executed_despite_error=len(not_executed & once),
    )


def _outcomes(paths: Iterable[Path]) -> Iterator[tuple[int, Outcome]]:
    for path in paths:
        for number, outcome in _OUTCOME.iter_unpack(path.read_bytes()):
            yield number, Outcome(outcome)


def _executions(path: Path) -> Iterator[_Execution]:
    """Yield (number, deadline in us, execution time in us) of one agent, in order."""
    if path.exists():  # an agent that never started has no log
        yield from _EXECUTION.iter_unpack(path.read_bytes())


def _late(executions: Iterable[_Execution]) -> tuple[int, int]:
    """Count the executions after their deadline: (faults, pauses).

    A process frozen between the deadline check and the handler's first line executes that one request after
    it resumes. So of late executions close together, the first is attributed to the pause; the deadlines of
    the others were, or should have been, checked after the pause.
    """
    faults = pauses = last_us = 0
    for _, deadline_us, executed_us in executions:
        if executed_us <= deadline_us + LATE_S * 1e6:
            continue
        if executed_us - last_us > _ONE_PAUSE_US:
            pauses += 1
        else:
            faults += 1
        last_us = executed_us
    return faults, pauses
