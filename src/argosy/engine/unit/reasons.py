"""Descriptions of exits and start time-outs: what happened, when, and the last log line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from argosy.engine.logs.log_file import most_relevant_line
from argosy.engine.process.os_process import describe_exit
from argosy.engine.protocol import fork_protocol as codes

if TYPE_CHECKING:
    from pathlib import Path

    from argosy.engine.plan.process_plan import ProcessSpec
    from argosy.engine.unit.restart_policy import ProcessExit


def describe_exit_reason(process_exit: ProcessExit, uptime_s: float, log: Path, log_start: int) -> str:
    """Return how a process exited; for one that was never ready also its last log line.

    log_start: where its output begins in the log; earlier lines are ignored.
    """
    description = codes.EXIT_CODE_TEXT.get(process_exit.code or 0) or describe_exit(process_exit.code)
    if not process_exit.was_ready:
        last_line = most_relevant_line(log, log_start)
        description += f" after {uptime_s:.1f} s, before it was ready"
        description += f"; last line: {last_line}" if last_line else "; no output"
    return description


def describe_start_timeout(
    spec: ProcessSpec, pid: int | None, log: Path, log_start: int, last_finding: str
) -> str:
    """Return that a process was not ready by its start time-out, and what its probe found instead.

    log_start: where its output begins in the log.
    """
    alive = f"process alive, pid {pid}" if pid else "no process"
    last_line = most_relevant_line(log, log_start)
    tail = f"last line: {last_line}" if last_line else "no output"
    return f"was not ready after {spec.start_timeout_s:.1f} s: {last_finding} ({alive}, {tail})"
