"""Finds the agent and the fleet that a process belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from argosy.engine.inventory.fleet_processes import FleetProcess, inspect_agent_process
from argosy.engine.inventory.known_fleets import read_recorded_fleet
from argosy.engine.inventory.leftover_processes import agent_names_of
from argosy.engine.process import os_process
from argosy.engine.state.state_dir import StateDir


class ProcessOwner(NamedTuple):
    """An agent, the name of its fleet, and its fleet file, None where it is unknown."""

    agent: str
    fleet: str
    path: Path | None

    def __str__(self) -> str:
        if self.path is None:
            return f"agent `{self.agent}` of fleet `{self.fleet}` (no record of its fleet file)"
        where = f"{self.path}" if self.path.exists() else f"{self.path}, moved or deleted"
        return f"agent `{self.agent}` of fleet `{self.fleet}` ({where})"


def find_owner(pid: int) -> ProcessOwner | None:
    """Return the agent that a process belongs to, None when there is none: that of its session's leader.

    The leader holds the agent's lease open or has its notify socket in its environment, and no terminal.
    """
    stat = os_process.read_stat(pid)
    trace = inspect_agent_process(stat.session) if stat is not None else None
    agent = _find_agent(trace) if trace is not None else None
    if trace is None or agent is None:
        return None
    record = read_recorded_fleet(trace.state_path)
    return ProcessOwner(agent, record.name if record else trace.fleet, record.path if record else None)


def _find_agent(trace: FleetProcess) -> str | None:
    """Return the agent, or the cell process, that a process is."""
    if trace.runtime_path is None:
        return None
    return next(agent_names_of(trace.pid, StateDir(trace.state_path, trace.runtime_path)), None)
