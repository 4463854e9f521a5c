"""Which agent of which fleet a process belongs to: for who meets it and does not know it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from argosy.engine import process
from argosy.engine.folder import Folder
from argosy.engine.known import recorded_fleet
from argosy.engine.remains import names_of
from argosy.engine.traces import Trace, trace_of


class Owner(NamedTuple):
    """The agent, the name of its fleet, and its fleet file, None where nobody knows."""

    agent: str
    fleet: str
    path: Path | None

    def __str__(self) -> str:
        if self.path is None:
            return f"agent `{self.agent}` of fleet `{self.fleet}` (no record of its fleet file)"
        where = f"{self.path}" if self.path.exists() else f"{self.path}, moved or deleted"
        return f"agent `{self.agent}` of fleet `{self.fleet}` ({where})"


def owner_of(pid: int) -> Owner | None:
    """Return whose a process is, None when it is no agent's: that of its session's leader.

    The leader holds the agent's lease open or was told its notify socket, and has no terminal.
    """
    stat = process.read_stat(pid)
    trace = trace_of(stat.session) if stat is not None else None
    agent = _agent_of(trace) if trace is not None else None
    if trace is None or agent is None:
        return None
    known = recorded_fleet(trace.state)
    return Owner(agent, known.name if known else trace.fleet, known.path if known else None)


def _agent_of(trace: Trace) -> str | None:
    """Return the agent, or the process of a cell, that a process is."""
    if trace.runtime is None:
        return None
    return next(names_of(trace.pid, Folder(trace.state, trace.runtime)), None)
