"""Finds agents that a file lists by name: `agent_groups: {GROUP: {NAME: {script_path: ...}}}`.

Recognised by shape, wherever it stands and whatever its keys are called: a mapping that names a
script, under a key that is its name.
"""

from __future__ import annotations

from argosy.fleet.importers.intake import Data, walk
from argosy.fleet.importers.row import Row, group_of, has_script

KIND = "agents by name (`agent_groups: {GROUP: {NAME: {script_path: ...}}}`)"


def find_named(data: Data) -> list[Row]:
    """Return every row that stands under its name, in file order."""
    rows: list[Row] = []
    for steps, value in walk(data, until=has_script):
        if isinstance(value, dict) and has_script(value) and steps and isinstance(steps[-1], str):
            rows.append(Row(steps[-1], steps, value, group_of(steps[:-1])))
    return rows
