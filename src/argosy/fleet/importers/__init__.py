"""Importers: what fleets have today, read into one fleet file.

    search -> reader -> (groups | lists | compose | procfile | supervisord) -> Source
    Source ... -> merge -> Plan -> emit -> the text of a fleet.yaml

Each importer recognises a file by what is in it and returns frozen data; nothing is settled before
`merge` sees all sources. Nothing is dropped in silence: what has no place in a fleet file, or had
to be decided, is a `Decision` with its place, and becomes a comment in the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from argosy.fault import Fault, InputError
from argosy.fleet.importers.fleet_file_writer import render_fleet_file, summarize_plan
from argosy.fleet.importers.format_detection import SUPPORTED_FORMATS
from argosy.fleet.importers.import_model import ImportDecision, ImportPlan
from argosy.fleet.importers.merge import merge_sources
from argosy.fleet.importers.source_search import find_sources

__all__ = [
    "SUPPORTED_FORMATS",
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
    """Return the fleet that the files and folders at `paths` describe together.

    folder: the folder of the fleet file to be; its paths are relative to it.
    machines: names of machines, by the file or folder whose agents run there; others come from the paths.
    addresses: of machines and services in `development`, by name; others come from the sources.

    Raises InputError: a path is missing, unreadable, of no known shape, an address is none, or nothing at
        all was found.
    """
    found = find_sources(tuple(paths))
    if not any(source.agents for source in found.sources):
        read = ", ".join(f"`{source.path.name}`" for source in found.sources)
        services = sum(len(source.services) for source in found.sources)
        message = f"no agent was found in {read}: of its {services} services none says what it runs"
        raise InputError(
            Fault(str(paths[0]), "nothing-found", message, "understood are: " + "; ".join(SUPPORTED_FORMATS))
        )
    overrides = {path.absolute(): name for path, name in (machine_overrides or {}).items()}
    return merge_sources(found, folder.absolute(), overrides, address_overrides or {})
