"""Finds the files to import: the named files, and in named folders the files that define agents.

In a folder, its own files and those of its configuration folders are read, down to three levels.
Trees often contain several versions of one file (`startup_config.v2.yaml`,
`startup_config_fixed.yaml`): of the files in one folder that define the same agents, the one whose name
most others extend is read, else the one with the shortest name. A file is obsolete if none of its
scripts exists. Every skipped file is reported.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from argosy.fault import Fault, InputError
from argosy.fleet.importers.format_detection import read_import_source, supported_formats_hint
from argosy.fleet.importers.import_model import ImportDecision, ImportedAgent, ImportSource
from argosy.fleet.importers.input_file import read_input_file
from argosy.fleet.importers.source_placement import has_only_missing_scripts
from argosy.fleet.locations import format_path
from argosy.fleet.quantities import format_names

_MAX_DEPTH = 3
_CONFIG_FOLDERS = frozenset({"config", "configs", "conf", "etc"})
_SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__", "venv", "env", "site-packages"})
_SUFFIXES = frozenset({".yaml", ".yml", ".conf", ".ini"})
_MAX_BYTES = 4 * 2**20


class FoundSources(msgspec.Struct, frozen=True):
    """The sources to merge, and the decisions made."""

    sources: tuple[ImportSource, ...]
    decisions: tuple[ImportDecision, ...]


def find_sources(paths: tuple[Path, ...]) -> FoundSources:
    """Return the sources in `paths`, which are files or folders.

    Raises InputError: a path is missing, the format of a named file is unknown, or a folder has no agents.
    """
    sources: list[ImportSource] = []
    decisions: list[ImportDecision] = []
    for path in paths:
        if path.is_dir():
            found = _search_folder(path.absolute())
            sources += found.sources
            decisions += found.decisions
        elif path.is_file():
            sources.append(read_import_source(read_input_file(path)))
        else:
            # Reading a pipe or a device could block forever.
            problem = "is neither a file nor a folder" if path.exists() else "does not exist"
            raise InputError(Fault(str(path), "no-file", f"`{path}` {problem}"))
    unique = {source.path: source for source in sources}
    return FoundSources(tuple(unique.values()), tuple(decisions))


def _search_folder(folder: Path) -> FoundSources:
    sources: list[ImportSource] = []
    unread: list[tuple[Path, InputError]] = []
    for path in _candidate_files(folder):
        try:
            source = read_import_source(read_input_file(path))
        except InputError as error:
            unread.append((path, error))
        else:
            if source.agents:
                sources.append(source)
    if not sources:
        raise _nothing_found_error(folder, unread)
    current = [source for source in sources if not has_only_missing_scripts(source)] or sources
    obsolete = [_missing_scripts_decision(source) for source in sources if source not in current]
    chosen, decisions = _choose_versions(current)
    return FoundSources(tuple(chosen), (*decisions, *obsolete, *_unread_file_decisions(folder, unread)))


def _candidate_files(folder: Path) -> Iterator[Path]:
    """Yield the files that may define agents, with folders and names sorted."""
    for parent, folders, names in os.walk(folder):
        path = Path(parent)
        depth = len(path.relative_to(folder).parts)
        hidden = {name for name in folders if name.startswith(".")} | _SKIPPED_FOLDERS
        folders[:] = sorted({*folders} - hidden) if depth < _MAX_DEPTH else []
        if path == folder or path.name in _CONFIG_FOLDERS:
            yield from (path / name for name in sorted(names) if _is_candidate(path / name))


def _is_candidate(path: Path) -> bool:
    is_procfile = path.name == "Procfile" or path.name.startswith("Procfile.") or path.suffix == ".procfile"
    has_known_name = is_procfile or path.suffix.lower() in _SUFFIXES
    return has_known_name and path.is_file() and path.stat().st_size <= _MAX_BYTES


def _choose_versions(sources: list[ImportSource]) -> tuple[list[ImportSource], list[ImportDecision]]:
    """Skip every source that defines agents of a preferred one in the same folder."""
    chosen: list[ImportSource] = []
    decisions: list[ImportDecision] = []

    def rank(source: ImportSource) -> tuple[Path, int, int, str]:
        path = source.path
        extended = sum(
            one.path.parent == path.parent and one.path.stem.startswith(path.stem) for one in sources
        )
        return path.parent, -extended, len(path.name), path.name

    for source in sorted(sources, key=rank):
        in_folder = [one for one in chosen if one.path.parent == source.path.parent]
        preferred = next((one for one in in_folder if _common_agents(source, one)), None)
        if preferred is None:
            chosen.append(source)
        else:
            decisions.append(_skipped_version_decision(source, preferred))
    return chosen, decisions


def _common_agents(source: ImportSource, other: ImportSource) -> list[tuple[ImportedAgent, ImportedAgent]]:
    own = {agent.name: agent for agent in source.agents}
    theirs = {agent.name: agent for agent in other.agents}
    return [(own[name], agent) for name, agent in theirs.items() if name in own]


def _skipped_version_decision(source: ImportSource, preferred: ImportSource) -> ImportDecision:
    pairs = _common_agents(source, preferred)
    differing = [
        agent.name for agent, other in pairs if _comparable_fields(agent) != _comparable_fields(other)
    ]
    names = format_names(differing[:3]) + (" and more" if len(differing) > 3 else "")
    detail = f", {len(differing)} of them differently ({names})" if differing else ", all identically"
    return ImportDecision(
        format_path(source.path),
        f"not imported: it also defines {len(pairs)} agent(s) of `{format_path(preferred.path)}`{detail}",
        "of several versions in a folder the one whose name the others extend is imported, else the one "
        "with the shortest name; name another file explicitly to import it",
    )


def _missing_scripts_decision(source: ImportSource) -> ImportDecision:
    what = f"not imported: none of its {len(source.agents)} scripts exists"
    return ImportDecision(
        format_path(source.path), what, "it seems obsolete; name the file explicitly to import it"
    )


def _comparable_fields(agent: ImportedAgent) -> tuple[object, ...]:
    edges = frozenset(edge.target for edge in agent.edges)
    return agent.run, agent.args, agent.port, agent.health_port, agent.required, edges


def _unread_file_decisions(folder: Path, unread: list[tuple[Path, InputError]]) -> Iterator[ImportDecision]:
    """Yield one decision for the files without agents, and one for each file with a fault."""
    without = [format_path(path) for path, error in unread if _is_unrelated_file(error)]
    if without:
        what = f"without agents: {format_names(without)}"
        yield ImportDecision(format_path(folder), what, "these files name nothing to run")
    for _, error in unread:
        if not _is_unrelated_file(error):
            fault = error.faults[0]
            is_fleet_file = fault.code == "fleet-file"
            why = "an import creates such a file" if is_fleet_file else "correct the file and import again"
            yield ImportDecision(fault.where, f"not imported: {fault.message}", why)


def _is_unrelated_file(error: InputError) -> bool:
    return error.faults[0].code in ("unknown-format", "nothing-found", "empty")


def _nothing_found_error(folder: Path, unread: list[tuple[Path, InputError]]) -> InputError:
    faulty = [fault for _, error in unread if not _is_unrelated_file(error) for fault in error.faults]
    read = format_names(path.name for path, _ in unread[:8]) or "no file"
    message = f"no file in this folder or its configuration folders defines agents; read: {read}"
    where = format_path(folder)
    return InputError(Fault(where, "nothing-found", message, supported_formats_hint()), *faulty)
