"""Places in a fleet file, and the faults found at them, kept in the order of the file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from argosy.fault import Fault


class Place(NamedTuple):
    """A line and a column of a file, both from 1."""

    line: int
    column: int


FLEET_KIND = "fleet file"


class FaultList:
    """Collects faults of one file; `in_file_order` gives them as a reader meets them.

    source: the name of the file in messages. kind: what sort of file it is, as messages call it.
    schema: the command that tells what such a file holds.
    """

    def __init__(self, source: str, kind: str = FLEET_KIND, schema: str = "argosy schema") -> None:
        self.source = source
        self.kind = kind
        self.schema = schema
        self._found: list[tuple[Place, Fault]] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, place: Place, code: str, message: str, hint: str = "") -> None:
        """Record one fault at `place`."""
        self._found.append((place, Fault(self.where(place), code, message, hint)))

    def where(self, place: Place) -> str:
        """Return `file:line:column`."""
        return f"{self.source}:{place.line}:{place.column}"

    def in_file_order(self) -> list[Fault]:
        """Return all faults, by line and column; two at one place stay in the order of finding."""
        return [fault for _, fault in sorted(self._found, key=lambda found: found[0])]


def displayed(path: Path) -> str:
    """Return how messages name a file: relative to this folder when it lies below it, else absolute."""
    absolute = path.absolute()
    here = Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)


def displayed_path(path: str) -> str:
    """Return how messages name a file, as `displayed`."""
    return displayed(Path(path))
