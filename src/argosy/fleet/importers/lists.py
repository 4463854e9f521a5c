"""Finds agents that a file lists in rows: `services: [{name: NAME, script_path: ...}]`.

Recognised by shape, wherever it stands and whatever its key is called: a list of mappings with a
name and something to run.
"""

from __future__ import annotations

from argosy.fleet.importers.intake import Data, walk
from argosy.fleet.importers.row import Row, group_of, has_command, has_script

KIND = "agents in a list (`services: [{name: NAME, script_path: ...}]`)"


def find_listed(data: Data) -> list[Row]:
    """Return every row of every such list, in file order."""
    rows: list[Row] = []
    for steps, value in walk(data, until=_is_row):
        if steps and isinstance(steps[-1], int) and isinstance(value, dict) and _is_row(value):
            rows.append(Row(str(value["name"]).strip(), steps, value, group_of(steps[:-1])))
    return rows


def _is_row(value: Data) -> bool:
    if not isinstance(value, dict) or not (has_script(value) or has_command(value)):
        return False
    name = value.get("name")
    return isinstance(name, str | int) and not isinstance(name, bool) and bool(str(name).strip())
