"""Finds the files to import: those named, and in a named folder those that say which agents there are.

A folder is not searched blindly: its own files and those of its configuration folders are read,
three levels down. Versions of one file lie side by side in grown trees (`startup_config.v2.yaml`,
`startup_config_fixed.yaml`): of files in one folder that name the same agents, the one is read whose
name the most others extend, else the one with the shortest name. A file none of whose scripts is
there describes what is gone. Whatever is left aside is told.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from argosy.fault import Fault, InputError
from argosy.fleet.importers.format_detection import SUPPORTED_FORMATS, read_import_source
from argosy.fleet.importers.import_model import ImportDecision, ImportedAgent, ImportSource
from argosy.fleet.importers.input_file import read_input_file
from argosy.fleet.importers.source_root import has_only_missing_scripts
from argosy.fleet.locations import format_path

_MAX_DEPTH = 3
_CONFIG_FOLDERS = frozenset({"config", "configs", "conf", "etc"})
_SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__", "venv", "env", "site-packages"})
_SUFFIXES = frozenset({".yaml", ".yml", ".conf", ".ini"})
_MAX_BYTES = 4 * 2**20


class FoundSources(msgspec.Struct, frozen=True):
    """The sources to merge, and the decisions that finding them took."""

    sources: tuple[ImportSource, ...]
    decisions: tuple[ImportDecision, ...]


def find_sources(paths: tuple[Path, ...]) -> FoundSources:
    """Return the sources that `paths`, files or folders, hold.

    Raises InputError: a path is missing, a named file cannot be understood, or a folder has nothing.
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
            # A pipe or a device could keep the reader waiting for ever.
            problem = "is neither a file nor a folder" if path.exists() else "is not there"
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
    gone = [_missing_scripts_decision(source) for source in sources if source not in current]
    chosen, decisions = _choose_versions(current)
    return FoundSources(tuple(chosen), (*decisions, *gone, *_unread_file_decisions(folder, unread)))


def _candidate_files(folder: Path) -> Iterator[Path]:
    """Yield the files that may be of use, folders and names in order."""
    for here, folders, names in os.walk(folder):
        place = Path(here)
        depth = len(place.relative_to(folder).parts)
        folders[:] = sorted(name for name in folders if depth < _MAX_DEPTH and _is_searched(name))
        if place == folder or place.name in _CONFIG_FOLDERS:
            yield from (place / name for name in sorted(names) if _is_candidate(place / name))


def _is_searched(name: str) -> bool:
    return not name.startswith(".") and name not in _SKIPPED_FOLDERS


def _is_candidate(path: Path) -> bool:
    is_procfile = path.name == "Procfile" or path.name.startswith("Procfile.") or path.suffix == ".procfile"
    fits = is_procfile or path.suffix.lower() in _SUFFIXES
    return fits and path.is_file() and path.stat().st_size <= _MAX_BYTES


def _choose_versions(sources: list[ImportSource]) -> tuple[list[ImportSource], list[ImportDecision]]:
    """Leave out every source that names agents of a better one in the same folder."""
    chosen: list[ImportSource] = []
    decisions: list[ImportDecision] = []

    def rank(source: ImportSource) -> tuple[Path, int, int, str]:
        path = source.path
        extended = sum(
            one.path.parent == path.parent and one.path.stem.startswith(path.stem) for one in sources
        )
        return path.parent, -extended, len(path.name), path.name

    for source in sorted(sources, key=rank):
        preferred = next((one for one in chosen if _is_version(source, one)), None)
        if preferred is None:
            chosen.append(source)
        else:
            decisions.append(_skipped_version_decision(source, preferred))
    return chosen, decisions


def _is_version(source: ImportSource, other: ImportSource) -> bool:
    return source.path.parent == other.path.parent and bool(_common_agents(source, other))


def _common_agents(source: ImportSource, other: ImportSource) -> list[tuple[ImportedAgent, ImportedAgent]]:
    own = {agent.name: agent for agent in source.agents}
    theirs = {agent.name: agent for agent in other.agents}
    return [(own[name], agent) for name, agent in theirs.items() if name in own]


def _skipped_version_decision(source: ImportSource, preferred: ImportSource) -> ImportDecision:
    pairs = _common_agents(source, preferred)
    differing = [
        agent.name for agent, other in pairs if _comparable_fields(agent) != _comparable_fields(other)
    ]
    names = ", ".join(f"`{name}`" for name in differing[:3]) + (" and more" if len(differing) > 3 else "")
    detail = f", {len(differing)} of them differently ({names})" if differing else ", all of them alike"
    return ImportDecision(
        format_path(source.path),
        f"not read: it describes {len(pairs)} agent(s) of `{format_path(preferred.path)}` too{detail}",
        "of versions in one folder one is read, the one whose name the others extend, else the shortest; "
        "name a file itself to import that one",
    )


def _missing_scripts_decision(source: ImportSource) -> ImportDecision:
    what = f"not read: of the {len(source.agents)} scripts it names none is there"
    return ImportDecision(
        format_path(source.path), what, "it describes what is gone; name the file itself to import it"
    )


def _comparable_fields(agent: ImportedAgent) -> tuple[object, ...]:
    edges = frozenset(edge.target for edge in agent.edges)
    return agent.run, agent.args, agent.port, agent.health_port, agent.required, edges


def _unread_file_decisions(folder: Path, unread: list[tuple[Path, InputError]]) -> Iterator[ImportDecision]:
    """Yield one decision for the files without agents, and one for each file that has a fault."""
    without = [format_path(path) for path, error in unread if _is_unrelated_file(error)]
    if without:
        what = f"read, and without agents: {', '.join(f'`{name}`' for name in without)}"
        yield ImportDecision(format_path(folder), what, "nothing in them says what to run")
    for _, error in unread:
        if not _is_unrelated_file(error):
            fault = error.faults[0]
            is_done = fault.code == "fleet-file"
            why = "importing makes such a file" if is_done else "mend the file and import again if it matters"
            yield ImportDecision(fault.where, f"not read: {fault.message}", why)


def _is_unrelated_file(error: InputError) -> bool:
    return error.faults[0].code in ("unknown-format", "nothing-found", "empty")


def _nothing_found_error(folder: Path, unread: list[tuple[Path, InputError]]) -> InputError:
    faulty = [fault for _, error in unread if not _is_unrelated_file(error) for fault in error.faults]
    read = ", ".join(f"`{path.name}`" for path, _ in unread[:8]) or "no file"
    message = f"no file in this folder or its configuration folders says which agents there are; read: {read}"
    return InputError(
        Fault(
            format_path(folder), "nothing-found", message, "understood are: " + "; ".join(SUPPORTED_FORMATS)
        ),
        *faulty,
    )
