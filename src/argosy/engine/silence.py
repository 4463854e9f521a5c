"""A supervisor that does not answer: whether it is stopped, hangs, or is at work.

It answers from its one loop, within milliseconds. It is late for a reason when it computes, waits for a
processor or for a disk; a stopped one never answers, and neither does one that does nothing.
"""

from __future__ import annotations

import time

from argosy.engine.process import Stat, read_stat
from argosy.fault import Fault, RefusedError

# Nobody waits longer for a supervisor that is stopped, or does nothing.
ANSWERS_WITHIN_S = 3.0
_STOPPED = "Tt"
_BUSY = "RD"
_GLANCE_S = 0.3


class SupervisorSilentError(RefusedError):
    """The supervisor is there and does not answer. within_s: how long it was waited for."""

    def __init__(self, pid: int, within_s: float) -> None:
        stat = read_stat(pid)
        if stat is not None and stat.state in _STOPPED:
            why = f"it is stopped: state {stat.state}"
            hint = f"`kill -CONT {pid}` lets it go on; or `kill -9 {pid}`, "
        else:
            why = f"no answer within {within_s:.0f} s" + ("" if stat is None else f", state {stat.state}")
            hint = f"`kill -9 {pid}` ends it, "
        hint += "the agents run on; then `argosy up` starts the next one, which adopts them"
        words = f"supervisor pid {pid} does not answer ({why})"
        super().__init__(Fault("", "supervisor-silent", words, hint))


class Watch:
    """One supervisor, from the moment at which it was asked."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._seen = read_stat(pid)

    def is_at_work(self) -> bool:
        """Return whether it has done anything since the last look, or is about to."""
        before, self._seen = self._seen, read_stat(self._pid)
        now = self._seen
        if now is None or now.state in _STOPPED:
            return False
        return now.state in _BUSY or before is None or now.ticks > before.ticks


def is_stopped(pid: int) -> bool:
    """Return whether a process is stopped, and not only for a moment, as by a debugger that looks at it."""
    if not _is_held(read_stat(pid)):
        return False
    time.sleep(_GLANCE_S)
    return _is_held(read_stat(pid))


def _is_held(stat: Stat | None) -> bool:
    return stat is not None and stat.state in _STOPPED
