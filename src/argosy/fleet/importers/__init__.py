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
from argosy.fleet.importers.emit import account, emit
from argosy.fleet.importers.found import Decision, Plan
from argosy.fleet.importers.merge import merge
from argosy.fleet.importers.reader import KINDS
from argosy.fleet.importers.search import find_sources

__all__ = ["KINDS", "Decision", "Plan", "account", "emit", "plan_import"]


def plan_import(
    paths: Sequence[Path],
    folder: Path,
    machines: Mapping[Path, str] | None = None,
    addresses: Mapping[str, str] | None = None,
) -> Plan:
    """Return the fleet that the files and folders at `paths` describe together.

    folder: the folder of the fleet file to be; its paths are relative to it.
    machines: names of machines, by the file or folder whose agents run there; others come from the paths.
    addresses: of machines and services in `development`, by name; others come from the sources.

    Raises InputError: a path is missing, unreadable, of no known shape, an address is none, or nothing at
        all was found.
    """
    findings = find_sources(tuple(paths))
    if not any(source.agents for source in findings.sources):
        read = ", ".join(f"`{source.path.name}`" for source in findings.sources)
        services = sum(len(source.services) for source in findings.sources)
        message = f"no agent was found in {read}: of its {services} services none says what it runs"
        raise InputError(
            Fault(str(paths[0]), "nothing-found", message, "understood are: " + "; ".join(KINDS))
        )
    chosen = {path.absolute(): name for path, name in (machines or {}).items()}
    return merge(findings, folder.absolute(), chosen, addresses or {})
