"""Finds agents in lists: `services: [{name: NAME, script_path: ...}]`.

Recognized by structure, under any key at any depth: a list of mappings with a name and a script or
command.
"""

from __future__ import annotations

from argosy.fleet.importers.agent_row import AgentRow, group_of, has_command, has_script
from argosy.fleet.importers.input_file import PlainData, walk_values

LISTED_AGENTS_FORMAT = "agents in a list (`services: [{name: NAME, script_path: ...}]`)"


def find_listed_agents(data: PlainData) -> list[AgentRow]:
    """Return the rows of all such lists, in file order."""
    rows: list[AgentRow] = []
    for key_path, value in walk_values(data, stop_at=_is_agent_row):
        if key_path and isinstance(key_path[-1], int) and isinstance(value, dict) and _is_agent_row(value):
            rows.append(AgentRow(str(value["name"]).strip(), key_path, value, group_of(key_path[:-1])))
    return rows


def _is_agent_row(value: PlainData) -> bool:
    if not isinstance(value, dict) or not (has_script(value) or has_command(value)):
        return False
    name = value.get("name")
    return isinstance(name, str | int) and not isinstance(name, bool) and bool(str(name).strip())
