"""Places in a fleet file, and the faults found at them, kept in the order of the file."""

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
    """Collects faults of one file; `in_file_order` gives them as a reader meets them.

    source: the name of the file in messages. kind: what sort of file it is, as messages call it.
    schema: the command that tells what such a file holds.
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
        """Record one fault at `place`."""
        self._faults.append((position, Fault(self.format_position(position), code, message, hint)))

    def format_position(self, position: TextPosition) -> str:
        """Return `file:line:column`."""
        return f"{self.source}:{position.line}:{position.column}"

    def in_file_order(self) -> list[Fault]:
        """Return all faults, by line and column; two at one place stay in the order of finding."""
        return [fault for _, fault in sorted(self._faults, key=lambda found: found[0])]


def format_path(path: Path) -> str:
    """Return how messages name a file: relative to this folder when it lies below it, else absolute."""
    absolute = path.absolute()
    here = Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)


def format_path_str(path: str) -> str:
    """Return how messages name a file, as `displayed`."""
    return format_path(Path(path))
