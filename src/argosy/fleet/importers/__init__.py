"""Importers: convert existing process configurations to a fleet file.

`source_search` finds files, `format_detection` reads each into an `ImportSource`, `merge` combines these
into an `ImportPlan`, `fleet_file_writer` renders it. Whatever is decided or not imported is an
`ImportDecision`, written as a comment. Other packages use the names in `__all__` and these modules.

From outside: `import_model`, `input_file`, `source_search`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from argosy.fault import Fault, InputError
from argosy.fleet.importers.fleet_file_writer import render_fleet_file, summarize_plan
from argosy.fleet.importers.format_detection import supported_formats_hint
from argosy.fleet.importers.import_model import ImportDecision, ImportPlan
from argosy.fleet.importers.merge import merge_sources
from argosy.fleet.importers.source_search import find_sources
from argosy.fleet.quantities import format_names

__all__ = [
    "ImportDecision",
    "ImportPlan",
    "plan_import",
    "render_fleet_file",
    "summarize_plan",
]


def plan_import(
    paths: Sequence[Path],
    folder: Path,
    machine_overrides: Mapping[Path, str] | None = None,
    address_overrides: Mapping[str, str] | None = None,
) -> ImportPlan:
    """Return the plan of the fleet described by the files and folders at `paths`.

    folder: the folder of the fleet file to write; its paths are relative to it.
    machine_overrides: machine names by the file or folder whose agents run there; others are derived
        from the paths.
    address_overrides: addresses of machines and services in `development`, by name; others come from
        the sources.

    Raises InputError: a path is missing, unreadable or of an unknown format, an address is invalid, or
        no agent was found.
    """
    found = find_sources(tuple(paths))
    if not any(source.agents for source in found.sources):
        read = format_names(source.path.name for source in found.sources)
        services = sum(len(source.services) for source in found.sources)
        message = f"no agent was found in {read}: none of its {services} services has a command"
        raise InputError(Fault(str(paths[0]), "nothing-found", message, supported_formats_hint()))
    overrides = {path.absolute(): name for path, name in (machine_overrides or {}).items()}
    return merge_sources(found, folder.absolute(), overrides, address_overrides or {})
