"""How the trouble of an agent is told: what happened, when, and what it said last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from argosy.engine import order as codes
from argosy.engine.logs import telling_line
from argosy.engine.process import describe_exit

if TYPE_CHECKING:
    from pathlib import Path

    from argosy.engine.plan import ProcessSpec
    from argosy.engine.policy import Ending


def words_of_end(ending: Ending, lived_s: float, log: Path, log_start: int) -> str:
    """Return how a process ended; of one that never got ready also its last words.

    log_start: where its output begins in the log; what earlier processes printed is not told.
    """
    words = codes.WORDS.get(ending.code or 0) or describe_exit(ending.code)
    if not ending.was_ready:
        said = telling_line(log, log_start)
        words += f" after {lived_s:.1f} s, before it was ready"
        words += f"; last line: {said}" if said else "; no output"
    return words


def words_of_lateness(spec: ProcessSpec, pid: int | None, log: Path, log_start: int, found: str) -> str:
    """Return that a process missed its start deadline, and what its probe found instead.

    log_start: as above.
    """
    alive = f"process alive, pid {pid}" if pid else "no process"
    said = telling_line(log, log_start)
    tail = f"last line: {said}" if said else "no output"
    return f"was not ready after {spec.start_timeout_s:.1f} s: {found} ({alive}, {tail})"
