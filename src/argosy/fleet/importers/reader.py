"""Recognises a file by what is in it, and reads it with the importer for that shape."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath

import msgspec

from argosy.fault import Fault, InputError
from argosy.fleet.importers import compose, groups, lists, procfile, startup, supervisord
from argosy.fleet.importers.found import Source
from argosy.fleet.importers.intake import Intake


class Importer(msgspec.Struct, frozen=True):
    """A shape: how a file of it is told from others, and how it is read."""

    recognise: Callable[[Intake], bool]
    read: Callable[[Intake], Source]


# By the text alone, then by the data in it. The first that recognises a file reads it.
_BY_TEXT = (
    Importer(supervisord.is_supervisord, supervisord.read_supervisord),
    Importer(procfile.is_procfile, procfile.read_procfile),
)
_BY_DATA = (
    Importer(compose.is_compose, compose.read_compose),
    Importer(startup.is_startup, startup.read_startup),
)
KINDS = (groups.KIND, lists.KIND, compose.KIND, procfile.KIND, supervisord.KIND)
_YAML = frozenset({".yaml", ".yml", ".json"})


def read_source(intake: Intake) -> Source:
    """Return what a file says about agents.

    Raises InputError: its text has faults, it is a fleet file already, or it has none of the known shapes.
    """
    is_yaml = PurePath(intake.name).suffix.lower() in _YAML
    for importer in () if is_yaml else _BY_TEXT:
        if importer.recognise(intake):
            return importer.read(intake)
    if not intake.text.strip():
        raise InputError(Fault(intake.name, "nothing-found", "the file is empty", _hint()))
    try:
        intake.parse()
    except InputError:
        if is_yaml:
            raise
        raise _unknown(intake) from None
    for importer in _BY_DATA:
        if importer.recognise(intake):
            return importer.read(intake)
    if is_fleet(intake):
        message = "this is a fleet file already"
        raise InputError(
            Fault(
                intake.name, "fleet-file", message, f"`argosy check {intake.name}` tells whether it is right"
            )
        )
    raise _unknown(intake)


def is_fleet(intake: Intake) -> bool:
    """Return whether the data is that of a fleet file."""
    top = intake.mapping()
    return isinstance(top.get("fleet"), str) and isinstance(top.get("agents"), dict)


def _unknown(intake: Intake) -> InputError:
    top = ", ".join(f"`{key}`" for key in list(intake.mapping())[:8])
    found = f"; it has the keys {top}" if top else ""
    return InputError(
        Fault(
            intake.name, "unknown-format", f"nothing in this file says which agents there are{found}", _hint()
        )
    )


def _hint() -> str:
    return "understood are: " + "; ".join(KINDS)
