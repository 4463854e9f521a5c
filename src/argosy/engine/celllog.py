"""The logs of a fleet by agent: where several share a process and a log, each line is given to its writer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from argosy.agent.attribution import BETWEEN
from argosy.engine.cellplan import hull_name
from argosy.engine.roster import read_roster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from argosy.engine.folder import Folder
    from argosy.engine.logreader import Line, Reader


class Sources(NamedTuple):
    """logs: by name, agents and the processes of cells. cells: agent to the process that carries it."""

    logs: dict[str, Path]
    cells: dict[str, str]

    def of(self, name: str) -> dict[str, Path]:
        """Return the logs that hold lines of an agent: its own, its cell's, or none."""
        names = (name, self.cells.get(name, ""))
        return {each: self.logs[each] for each in names if each in self.logs}

    def read(self, reader: Reader, names: list[str], most_bytes: int | None = None) -> Iterator[Line]:
        """Yield the new lines of a log under their writers; of a cell's, those of `names` and of nobody.

        names: empty for all. most_bytes: see `Reader.read`.
        """
        members = {agent for agent, cell in self.cells.items() if cell == reader.agent}
        for line in reader.read(most_bytes):
            writer, found, text = line.text.partition(BETWEEN)
            if found and writer in members:
                line = line._replace(agent=writer, text=text)
            if line.agent == reader.agent or not names or line.agent in names:
                yield line


def find_sources(folder: Folder) -> Sources:
    """Return the logs that there are, and which agents are in cells by the plan applied last."""
    logs = {log.stem: log for log in sorted(folder.logs.glob("*.log"))} if folder.logs.is_dir() else {}
    roster = read_roster(folder)
    specs = roster.plan.processes.values() if roster else ()
    return Sources(logs, {spec.name: hull_name(spec.cell) for spec in specs if spec.cell is not None})
