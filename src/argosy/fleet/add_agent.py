"""Adds an agent to the text of a fleet file; comments, order and everything else stay unchanged."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from argosy.fault import Fault, RefusedError
from argosy.fleet.fleet_spec import Fleet
from argosy.fleet.loader import read_fleet
from argosy.fleet.locations import FaultList, format_path
from argosy.fleet.yaml_nodes import MappingNode as Node
from argosy.fleet.yaml_nodes import parse_document

FIRST_FREE_PORT = 7200
# The watchdog of a library agent in a new file: longer than loading something on first use blocks its loop.
DEFAULT_WATCHDOG = "30s"


def add_agent(path: Path, text: str, name: str, keys: Mapping[str, str]) -> str:
    """Return the text of a fleet file with one more agent at the end of `agents`.

    keys: the agent's keys, each with its value as YAML.
    Raises RefusedError: the file's layout does not allow lines to be added there.
    """
    lines = text.splitlines()
    indent, at = _insertion_point(path, text, lines, name, keys)
    added = [f"{indent}{name}:", *(f"{indent}  {key}: {value}" for key, value in keys.items())]
    updated = "\n".join([*lines[:at], *added, *lines[at:]]) + "\n"
    before, _ = read_fleet(path, text)
    after, faults = read_fleet(path, updated)
    if after is None or before is None or _agents_except(after, name) != dict(before.agents):
        message = faults[0].message if faults else "it would change another agent"
        raise RefusedError(Fault(format_path(path), "add-agent", f"`{name}` cannot be added: {message}"))
    return updated


def find_free_port(fleet: Fleet) -> int:
    """Return the first port from `FIRST_FREE_PORT` on such that no agent uses it or the next one."""
    used_ports: set[int] = {FIRST_FREE_PORT - 1}
    for agent in fleet.agents.values():
        used_ports |= {port for port in (agent.port, agent.health_port) if port is not None}
    return next(port for port in range(FIRST_FREE_PORT, 65535) if not {port, port + 1} & used_ports)


def module_name_for(name: str) -> str:
    """Return the module for an agent's name: `SpeechToText` is `speech_to_text`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    plain = re.sub(r"\W+", "_", words).strip("_").lower()
    return plain if plain.isidentifier() else f"agent_{plain}"


def class_name_for(name: str) -> str:
    """Return the class for an agent's name: `speech-to-text` is `SpeechToText`."""
    plain = "".join(word[:1].upper() + word[1:] for word in re.split(r"\W+|_", name) if word)
    return plain if plain.isidentifier() else f"Agent{plain}"


def _insertion_point(
    path: Path, text: str, lines: list[str], name: str, keys: Mapping[str, str]
) -> tuple[str, int]:
    """Return the indent of agents, and the line, counted from 0, before which to insert a new one."""
    root = parse_document(text, FaultList(format_path(path)))
    assert isinstance(root, Node), "a loaded fleet is a mapping"
    found = root.entries.get("agents")
    pasted = ", ".join(f"{key}: {value}" for key, value in keys.items())
    hint = f"add it manually: `{name}: {{{pasted}}}`"
    assert found is not None, "a loaded fleet has agents"
    key, value = found
    assert isinstance(value, Node), "the agents of a loaded fleet are a mapping"
    positions = [one.position for one, _ in value.entries.values()]
    if (
        not positions
        or any(position.line == key.position.line for position in positions)
        or lines[positions[0].line - 1].lstrip().startswith(("{", ","))
    ):
        message = "`agents` is written on one line or in braces"
        raise RefusedError(Fault(format_path(path), "add-agent", message, hint))
    following: Collection[int] = [one.position.line for one, _ in root.entries.values()]
    end = min((line - 1 for line in following if line > key.position.line), default=len(lines))
    while end > positions[-1].line and re.fullmatch(r"\s*(#.*)?", lines[end - 1]):
        end -= 1
    return " " * (positions[0].column - 1), end


def _agents_except(fleet: Fleet, name: str) -> dict[str, object]:
    return {other: agent for other, agent in fleet.agents.items() if other != name}
