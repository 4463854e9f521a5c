"""Loads a fleet file: text to document, document to structs, structs to a validated fleet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from argosy.fault import Fault, InputError
from argosy.fleet.decode import StructDecoder, describe_node
from argosy.fleet.fleet_spec import AgentKeys, Fleet, FleetKeys, Machine
from argosy.fleet.locations import FaultList, format_path
from argosy.fleet.normalization import merge_defaults, resolve_agent
from argosy.fleet.validation import ValidationContext, validate_fleet
from argosy.fleet.yaml_nodes import MappingNode, Node, read_document

_EXAMPLE_HINT = "such as `agents: {Echo: {run: echo.py}}`"


def load_fleet(path: str | Path, text: str | None = None) -> Fleet:
    """Return the validated fleet of the file at `path`.

    text: the file's content, if already read; `path` then only names the file.
    Raises InputError: all faults in file order, each with `file:line:column`, what was found and what
    was expected.
    """
    fleet, faults = read_fleet(path, text)
    if faults or fleet is None:
        raise InputError(*faults)
    return fleet


def read_fleet(path: str | Path, text: str | None = None) -> tuple[Fleet | None, list[Fault]]:
    """Return the fleet, and all faults of the file.

    The fleet is None if the file cannot be read or a value is invalid for its key. It is returned despite
    faults between its parts (a cycle, an unknown name, a port used twice).
    """
    file = Path(path)
    faults = FaultList(format_path(file))
    root = read_document(file, text, faults)
    fleet = _validate_document(root, file, faults) if root is not None else None
    return fleet, faults.in_file_order()


def _validate_document(root: Node, file: Path, faults: FaultList) -> Fleet | None:
    if not isinstance(root, MappingNode):
        message = f"the file is {describe_node(root)}, expected a mapping"
        faults.add(root.position, "wrong-type", message, _EXAMPLE_HINT)
        return None
    decoder = StructDecoder(faults)
    values = decoder.decode_fields(root, FleetKeys)
    is_sound = not len(faults)
    _check_has_agents(root, values, faults)
    fleet = _build_fleet(values, file, decoder, faults)
    known = {name for name in _declared_agent_names(root) if f"agents.{name}" in decoder.positions}
    validate_fleet(ValidationContext(fleet, faults, decoder.positions, decoder.invalid_paths, known))
    return fleet if is_sound and fleet.agents else None


def _declared_agent_names(root: MappingNode) -> list[str]:
    """Return the names under `agents`, including those of invalid agents."""
    entry = root.entries.get("agents")
    return list(entry[1].entries) if entry is not None and isinstance(entry[1], MappingNode) else []


def _check_has_agents(root: MappingNode, values: dict[str, Any], faults: FaultList) -> None:
    if values.get("agents") == {} and not _declared_agent_names(root):
        key, _ = root.entries["agents"]
        faults.add(
            key.position, "no-agents", "`agents` is empty: a fleet has at least one agent", _EXAMPLE_HINT
        )


def _build_fleet(values: dict[str, Any], file: Path, decoder: StructDecoder, faults: FaultList) -> Fleet:
    """Return the fleet of the valid values; invalid ones are left out."""
    locations = {path: faults.format_position(position) for path, position in decoder.positions.items()}
    defaults: AgentKeys = values.pop("defaults", AgentKeys())
    machines = {name: machine or Machine() for name, machine in values.pop("machines", {}).items()}
    only_machine = next(iter(machines)) if len(machines) == 1 else None
    agents = {
        name: resolve_agent(name, merge_defaults(keys, defaults), locations[f"agents.{name}"], only_machine)
        for name, keys in values.pop("agents", {}).items()
    }
    preload = values.pop("preload", "auto")
    return Fleet(
        name=values.pop("fleet", ""),
        path=str(file.absolute()),
        machines=machines,
        agents=agents,
        preload=tuple(preload) if isinstance(preload, list) else preload,
        locations=locations,
        **values,
    )
