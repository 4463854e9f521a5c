"""Repairs a whole tree: finds files that do not parse or cannot start, and builds proposals."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence

import msgspec

from argosy.refit.core.discovery import scan_tree
from argosy.refit.repair.parallel_map import parallel_map
from argosy.refit.repair.pipeline import RepairState, build_proposal, inspect_parsed, search_repair
from argosy.refit.repair.project_context import ProjectContext
from argosy.refit.repair.project_names import read_project_names
from argosy.refit.repair.proposal import RepairProposal
from argosy.refit.transaction.atomic_replace import Conflict
from argosy.refit.transaction.file_transaction import Transaction, lock_tree
from argosy.source.python_parser import Parsed, parse, pause_gc
from argosy.source.python_source import SourceText, Unparsed, read_source


class RepairReport(msgspec.Struct, frozen=True):
    """The result of a repair.

    root: absolute; paths are relative to it. files: how many were read. unreadable: files that cannot be
    decoded, and why. run: the name of the run that was written, None if nothing was. changed: the files
    written. conflicts: files that should have been written, and why they were not.
    """

    root: str
    files: int
    proposals: tuple[RepairProposal, ...]
    unreadable: tuple[Unparsed, ...]
    run: str | None = None
    changed: tuple[str, ...] = ()
    conflicts: tuple[Conflict, ...] = ()


# Entries that mark the folder of a project.
_PROJECT_MARKERS = (".git", "pyproject.toml", "setup.py", "setup.cfg")

ProgressCallback = Callable[[str, int, int], None]


def repair_tree(
    root: str,
    *,
    exclude: Sequence[str] = (),
    missing_packages: Collection[str] = (),
    progress: ProgressCallback | None = None,
) -> RepairReport:
    """Return proposals for the files below `root`, or for the one file that `root` is; writes nothing.

    missing_packages: top-level modules of packages that are missing where the code will run. progress: called
    with the current activity, how much of it is done, and the total.
    """
    notify = progress or (lambda what, done, total: None)
    folder, paths = _find_paths(root, exclude)
    triaged = _triage(folder, paths, missing_packages, notify)
    broken = triaged.broken
    states = [
        *triaged.parsing,
        *parallel_map(
            lambda item: search_repair(*item),
            broken,
            lambda done: notify("searching for repairs", done, len(broken)),
        ),
    ]
    names = {name for item in states for name in item.unbound_names}
    notify("reading names of the tree", 0, len(paths))
    repaired = {item.source.path: text for item in states if (text := item.repaired_source()) is not None}
    context_paths = _context_paths(folder, paths)
    project_names = read_project_names(folder, context_paths, names, repaired)
    context = ProjectContext(folder, context_paths, project_names, repaired, missing_packages)
    finished = parallel_map(
        lambda item: build_proposal(item, context),
        states,
        lambda done: notify("resolving names and start-up", done, len(states)),
    )
    proposals = [item for item in finished if item.damage is not None or item.steps]
    proposals.sort(key=lambda item: item.path)
    unreadable = tuple(triaged.unreadable)
    return RepairReport(folder, len(paths), tuple(proposals), unreadable)


def apply_repair(report: RepairReport) -> RepairReport:
    """Write the proposals whose checks all hold, as one run; return the report of what was written.

    Raises RefusedError: another refit is running in the tree.
    """
    contents = {item.path: (item.before, item.after) for item in report.proposals if item.is_applicable}
    if not contents:
        return report
    with lock_tree(report.root):
        transaction = Transaction(report.root)
        conflicts = transaction.apply(contents)
    changed = tuple(entry.path for entry in transaction.files)
    name = transaction.name if changed else None
    return msgspec.structs.replace(report, run=name, changed=changed, conflicts=tuple(conflicts))


def _find_paths(root: str, exclude: Sequence[str]) -> tuple[str, list[str]]:
    if os.path.isfile(root):
        full_path = os.path.realpath(root)
        folder = _project_root(full_path)
        return folder, [os.path.relpath(full_path, folder).replace(os.sep, "/")]
    file_stats = scan_tree(root, exclude=exclude).file_stats
    return os.path.realpath(root), sorted(path for path in file_stats if path.endswith(".py"))


def _project_root(path: str) -> str:
    """Return the root of a file's tree: the working directory if the file is below it, else its project."""
    here = os.path.realpath(os.getcwd())
    if path.startswith(here + os.sep):
        return here
    folder = os.path.dirname(path)
    above = folder
    while above != os.path.dirname(above):
        if any(os.path.exists(os.path.join(above, mark)) for mark in _PROJECT_MARKERS):
            return above
        above = os.path.dirname(above)
    return folder


def _context_paths(folder: str, paths: Sequence[str]) -> Sequence[str]:
    """Return the files that show names: the given ones, or all of the tree for a single file."""
    if len(paths) != 1:
        return paths
    return sorted(path for path in scan_tree(folder).file_stats if path.endswith(".py"))


class _TriagedFiles(msgspec.Struct, frozen=True):
    """Files by what they need: broken ones, parsing ones that may need repair, unreadable ones."""

    broken: list[tuple[SourceText, Unparsed]]
    parsing: list[RepairState]
    unreadable: list[Unparsed]


def _triage(
    folder: str, paths: Sequence[str], missing_packages: Collection[str], notify: ProgressCallback
) -> _TriagedFiles:
    triaged = _TriagedFiles([], [], [])
    with pause_gc():
        for done, path in enumerate(paths):
            if done % 50 == 0:
                notify("reading", done, len(paths))
            source = read_source(os.path.join(folder, path))
            if isinstance(source, Unparsed):
                triaged.unreadable.append(msgspec.structs.replace(source, path=path))
                continue
            source = msgspec.structs.replace(source, path=path)
            parsed = parse(source, is_compiled=False)
            if isinstance(parsed, Parsed):
                state = inspect_parsed(parsed, missing_packages)
                if state is not None:
                    triaged.parsing.append(state)
            elif parsed.stage == "read":
                triaged.unreadable.append(parsed)
            else:
                triaged.broken.append((source, parsed))
    return triaged
