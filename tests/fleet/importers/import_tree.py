"""A tree of files to import, and the result of its import."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from argosy.fleet import Fleet, load_fleet
from argosy.fleet.importers import ImportDecision, ImportPlan, plan_import, render_fleet_file


class Imported(NamedTuple):
    """A plan, the text that it was written to, and the fleet that was loaded from that."""

    plan: ImportPlan
    text: str
    fleet: Fleet

    def decision(self, *words: str) -> ImportDecision:
        """Return the only decision whose `what` and `why` hold all `words`."""
        found = [one for one in self.plan.decisions if all(word in f"{one.what} {one.why}" for word in words)]
        assert len(found) == 1, f"{words}: {found or self.plan.decisions}"
        return found[0]


class Tree:
    """A folder to write files into and to import from; the fleet file would stand at its top."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, path: str, text: str = "") -> Path:
        """Write one file, its text dedented."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
        return file

    def read_text(self, name: str, text: str) -> Imported:
        """Write one file and import it."""
        self.write(name, text)
        return self.read(name)

    def read(
        self,
        *paths: str,
        machines: dict[str, str] | None = None,
        addresses: dict[str, str] | None = None,
    ) -> Imported:
        """Import `paths`, and load what was written."""
        named = {self.folder / path: name for name, path in (machines or {}).items()}
        plan = plan_import([self.folder / path for path in paths], self.folder, named, addresses)
        text = render_fleet_file(plan)
        return Imported(plan, text, load_fleet(self.folder / "fleet.yaml", text))


Read = Callable[[str, str], Imported]
