"""Detects the format of a file by its content, and reads it with the importer for that format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath

from argosy.fault import Fault, InputError
from argosy.fleet.importers import agent_rows, docker_compose, procfile, startup_config, supervisord
from argosy.fleet.importers.import_model import ImportSource
from argosy.fleet.importers.input_file import InputFile
from argosy.fleet.quantities import format_names

# How to recognize a file of each format, and how to read it. The first match reads the file.
_FormatReaders = dict[Callable[[InputFile], bool], Callable[[InputFile], ImportSource]]
_TEXT_FORMATS: _FormatReaders = {
    supervisord.is_supervisord: supervisord.read_supervisord,
    procfile.is_procfile: procfile.read_procfile,
}
# These recognize the parsed data.
_DATA_FORMATS: _FormatReaders = {
    docker_compose.is_compose: docker_compose.read_compose,
    startup_config.is_startup_config: startup_config.read_startup_config,
}
SUPPORTED_FORMATS = (
    agent_rows.NAMED_AGENTS_FORMAT,
    agent_rows.LISTED_AGENTS_FORMAT,
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
    for is_match, read in () if is_yaml else _TEXT_FORMATS.items():
        if is_match(input_file):
            return read(input_file)
    if not input_file.text.strip():
        hint = supported_formats_hint()
        raise InputError(Fault(input_file.display_name, "nothing-found", "the file is empty", hint))
    try:
        input_file.parse()
    except InputError:
        if is_yaml:
            raise
        raise _unknown_format_error(input_file) from None
    for is_match, read in _DATA_FORMATS.items():
        if is_match(input_file):
            return read(input_file)
    top, name = input_file.top_mapping(), input_file.display_name
    if isinstance(top.get("fleet"), str) and isinstance(top.get("agents"), dict):
        hint = f"`argosy check {name}` validates it"
        raise InputError(Fault(name, "fleet-file", "this is already a fleet file", hint))
    raise _unknown_format_error(input_file)


def _unknown_format_error(input_file: InputFile) -> InputError:
    top = format_names(list(input_file.top_mapping())[:8])
    message = "this file defines no agents in a known format" + (f"; it has the keys {top}" if top else "")
    return InputError(Fault(input_file.display_name, "unknown-format", message, supported_formats_hint()))


def supported_formats_hint() -> str:
    """Return the hint that lists the formats."""
    return "known formats: " + "; ".join(SUPPORTED_FORMATS)
