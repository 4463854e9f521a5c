"""The logs of a fleet by agent; lines in the log of a cell are attributed to the agents that wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from argosy.agent.log_prefix import SEPARATOR
from argosy.engine.plan.applied_plan import load_applied_plan
from argosy.engine.plan.cell_plan import cell_unit_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from argosy.engine.logs.log_reader import LogLine, LogReader
    from argosy.engine.state.state_dir import StateDir


class LogSources(NamedTuple):
    """The logs of a fleet, and which cell each agent is in.

    logs: by name, of agents and of cell processes. cells: agent to the process of its cell.
    """

    logs: dict[str, Path]
    cells: dict[str, str]

    def logs_of(self, name: str) -> dict[str, Path]:
        """Return the logs that may hold lines of an agent: its own and its cell's."""
        names = (name, self.cells.get(name, ""))
        return {each: self.logs[each] for each in names if each in self.logs}

    def read(self, reader: LogReader, names: list[str], max_bytes: int | None = None) -> Iterator[LogLine]:
        """Yield the new lines of a log with their writers.

        names: of a cell's log, yield only lines of these agents and of the process itself; empty for all.
        max_bytes: see `LogReader.read`.
        """
        members = {agent for agent, cell in self.cells.items() if cell == reader.agent}
        for line in reader.read(max_bytes):
            writer, found, text = line.text.partition(SEPARATOR)
            if found and writer in members:
                line = line._replace(agent=writer, text=text)
            if line.agent == reader.agent or not names or line.agent in names:
                yield line


def find_log_sources(state_dir: StateDir) -> LogSources:
    """Return the existing logs, and which agents are in cells by the plan applied last."""
    logs = (
        {log.stem: log for log in sorted(state_dir.logs_dir.glob("*.log"))}
        if state_dir.logs_dir.is_dir()
        else {}
    )
    applied_plan = load_applied_plan(state_dir)
    specs = applied_plan.plan.processes.values() if applied_plan else ()
    return LogSources(logs, {spec.name: cell_unit_name(spec.cell) for spec in specs if spec.cell is not None})
