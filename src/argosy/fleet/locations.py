"""Positions in a fleet file, and the faults found there, in file order."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from argosy.fault import Fault


class TextPosition(NamedTuple):
    """A line and a column of a file, both from 1."""

    line: int
    column: int


FLEET_FILE_KIND = "fleet file"


class FaultList:
    """Collects the faults of one file.

    source: the name of the file in messages. kind: the type of the file in messages.
    schema_command: the command that prints the schema of such a file.
    """

    def __init__(
        self, source: str, kind: str = FLEET_FILE_KIND, schema_command: str = "argosy schema"
    ) -> None:
        self.source = source
        self.kind = kind
        self.schema_command = schema_command
        self._faults: list[tuple[TextPosition, Fault]] = []

    def __len__(self) -> int:
        return len(self._faults)

    def add(self, position: TextPosition, code: str, message: str, hint: str = "") -> None:
        """Record one fault at `position`."""
        self._faults.append((position, Fault(self.format_position(position), code, message, hint)))

    def format_position(self, position: TextPosition) -> str:
        """Return `file:line:column`."""
        return f"{self.source}:{position.line}:{position.column}"

    def in_file_order(self) -> list[Fault]:
        """Return all faults, by line and column; faults at one position keep their insertion order."""
        return [fault for _, fault in sorted(self._faults, key=lambda found: found[0])]


def format_path(path: str | Path) -> str:
    """Return a path for messages: relative if it is below the working folder, else absolute."""
    absolute = Path(path).absolute()
    here = Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)
