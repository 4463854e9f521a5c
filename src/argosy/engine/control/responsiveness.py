"""Whether a supervisor that does not answer is stopped, hangs, or is busy.

A supervisor answers from its one event loop, within milliseconds. It may be late while it computes or
waits for a processor or a disk; a stopped or idle one never answers.
"""

from __future__ import annotations

import time

from argosy.engine.process.os_process import ProcStat, read_stat
from argosy.fault import Fault, RefusedError

# The longest wait for a supervisor that is stopped or makes no progress.
SUPERVISOR_REPLY_TIMEOUT_S = 3.0
_STOPPED_STATES = "Tt"
_BUSY_STATES = "RD"
_RECHECK_DELAY_S = 0.3


class SupervisorUnresponsiveError(RefusedError):
    """The supervisor runs but does not answer. waited_s: how long it was waited for."""

    def __init__(self, pid: int, waited_s: float) -> None:
        stat = read_stat(pid)
        if stat is not None and stat.state in _STOPPED_STATES:
            detail = f"it is stopped: state {stat.state}"
            hint = f"`kill -CONT {pid}` resumes it; or `kill -9 {pid}`, "
        else:
            detail = f"no answer within {waited_s:.0f} s" + ("" if stat is None else f", state {stat.state}")
            hint = f"`kill -9 {pid}` ends it, "
        hint += "the agents keep running; then `argosy up` starts a new supervisor, which adopts them"
        message = f"supervisor pid {pid} does not answer ({detail})"
        super().__init__(Fault("", "supervisor-unresponsive", message, hint))


class ProgressWatch:
    """Tracks whether one supervisor makes progress after a request."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._last_stat = read_stat(pid)

    def is_busy(self) -> bool:
        """Return whether it has used CPU since the last call, or is about to."""
        before, self._last_stat = self._last_stat, read_stat(self._pid)
        now = self._last_stat
        if now is None or now.state in _STOPPED_STATES:
            return False
        return now.state in _BUSY_STATES or before is None or now.cpu_ticks > before.cpu_ticks


def is_stopped(pid: int) -> bool:
    """Return whether a process is stopped for longer than a moment, as a debugger may stop it."""
    if not _is_in_stopped_state(read_stat(pid)):
        return False
    time.sleep(_RECHECK_DELAY_S)
    return _is_in_stopped_state(read_stat(pid))


def _is_in_stopped_state(stat: ProcStat | None) -> bool:
    return stat is not None and stat.state in _STOPPED_STATES
