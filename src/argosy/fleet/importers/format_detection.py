"""Detects the format of a file by its content, and reads it with the importer for that format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath

import msgspec

from argosy.fault import Fault, InputError
from argosy.fleet.importers import (
    docker_compose,
    listed_agents,
    named_agents,
    procfile,
    startup_config,
    supervisord,
)
from argosy.fleet.importers.import_model import ImportSource
from argosy.fleet.importers.input_file import InputFile


class FormatReader(msgspec.Struct, frozen=True):
    """A format: how to recognize a file and how to read it."""

    is_match: Callable[[InputFile], bool]
    read: Callable[[InputFile], ImportSource]


# Formats recognized by text, then those recognized by parsed data. The first match reads the file.
_TEXT_FORMATS = (
    FormatReader(supervisord.is_supervisord, supervisord.read_supervisord),
    FormatReader(procfile.is_procfile, procfile.read_procfile),
)
_DATA_FORMATS = (
    FormatReader(docker_compose.is_compose, docker_compose.read_compose),
    FormatReader(startup_config.is_startup_config, startup_config.read_startup_config),
)
SUPPORTED_FORMATS = (
    named_agents.NAMED_AGENTS_FORMAT,
    listed_agents.LISTED_AGENTS_FORMAT,
    docker_compose.COMPOSE_FORMAT,
    procfile.PROCFILE_FORMAT,
    supervisord.SUPERVISORD_FORMAT,
)
_YAML = frozenset({".yaml", ".yml", ".json"})


def read_import_source(input_file: InputFile) -> ImportSource:
    """Return the agents of a file.

    Raises InputError: its text has faults, it is already a fleet file, or its format is unknown.
    """
    is_yaml = PurePath(input_file.display_name).suffix.lower() in _YAML
    for importer in () if is_yaml else _TEXT_FORMATS:
        if importer.is_match(input_file):
            return importer.read(input_file)
    if not input_file.text.strip():
        raise InputError(
            Fault(input_file.display_name, "nothing-found", "the file is empty", _supported_formats_hint())
        )
    try:
        input_file.parse()
    except InputError:
        if is_yaml:
            raise
        raise _unknown_format_error(input_file) from None
    for importer in _DATA_FORMATS:
        if importer.is_match(input_file):
            return importer.read(input_file)
    if is_fleet_file(input_file):
        message = "this is already a fleet file"
        raise InputError(
            Fault(
                input_file.display_name,
                "fleet-file",
                message,
                f"`argosy check {input_file.display_name}` validates it",
            )
        )
    raise _unknown_format_error(input_file)


def is_fleet_file(input_file: InputFile) -> bool:
    """Return whether the parsed file is a fleet file."""
    top = input_file.top_mapping()
    return isinstance(top.get("fleet"), str) and isinstance(top.get("agents"), dict)


def _unknown_format_error(input_file: InputFile) -> InputError:
    top = ", ".join(f"`{key}`" for key in list(input_file.top_mapping())[:8])
    found = f"; it has the keys {top}" if top else ""
    return InputError(
        Fault(
            input_file.display_name,
            "unknown-format",
            f"this file defines no agents in a known format{found}",
            _supported_formats_hint(),
        )
    )


def _supported_formats_hint() -> str:
    return "known formats: " + "; ".join(SUPPORTED_FORMATS)
