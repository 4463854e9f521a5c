"""Finds agents in mappings by name: `agent_groups: {GROUP: {NAME: {script_path: ...}}}`.

Recognized by structure, under any key at any depth: a mapping with a script, under a key that is the
agent's name.
"""

from __future__ import annotations

from argosy.fleet.importers.agent_row import AgentRow, group_of, has_script
from argosy.fleet.importers.input_file import PlainData, walk_values

NAMED_AGENTS_FORMAT = "agents by name (`agent_groups: {GROUP: {NAME: {script_path: ...}}}`)"


def find_named_agents(data: PlainData) -> list[AgentRow]:
    """Return every row under its name, in file order."""
    rows: list[AgentRow] = []
    for key_path, value in walk_values(data, stop_at=has_script):
        if isinstance(value, dict) and has_script(value) and key_path and isinstance(key_path[-1], str):
            rows.append(AgentRow(key_path[-1], key_path, value, group_of(key_path[:-1])))
    return rows
