"""Decides what a zygote loads: the modules that at least two of its programs certainly import.

The sources are read, nothing is imported. Packages are named as the programs name them. A program's
local modules are listed separately: it must not be forked from an interpreter that has another module
of the same name loaded.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.fork.python_program import PythonProgram
from argosy.engine.plan.agent_sources import assumed_sys_path
from argosy.source.file_facts import FileFacts, FileFactsCache, read_imports_only
from argosy.source.import_graph import (
    ImportGraph,
    ImportNode,
    LoadCertainty,
    build_import_graph,
    build_module_import_graph,
    certainty_of,
)
from argosy.source.import_statements import ImportCondition
from argosy.source.module_finder import DirectoryListings, ModuleFinder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_MIN_PROGRAMS = 2


class PreloadPlan(NamedTuple):
    """What to load, and each program's local modules.

    entries: as `Preloader.load` takes them. local_modules: `code_id` of a program to its top modules.
    """

    entries: list[str]
    local_modules: dict[str, list[str]]


def plan_preload(programs: Iterable[tuple[PythonProgram, Sequence[str]]], root: str) -> PreloadPlan:
    """Return what these programs share.

    programs: each with the first directories of its sys.path. root: the fleet file's directory.
    """
    scanner = _ProgramScanner(root)
    counts: Counter[str] = Counter()
    local_modules: dict[str, list[str]] = {}
    for program, roots in programs:
        found = scanner.scan(program, tuple(roots))
        counts.update(found.entries)
        local_modules[program.code_id] = found.local_modules
    shared = [entry for entry, count in counts.items() if count >= _MIN_PROGRAMS]
    # The most widely used come first: a module that is left out then affects the fewest others.
    return PreloadPlan(sorted(shared, key=lambda entry: (-counts[entry], entry)), local_modules)


class _ProgramImports(NamedTuple):
    entries: frozenset[str]
    local_modules: list[str]


class _ProgramScanner:
    """Scans all programs; reads each file once and follows each module's imports once."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._file_facts, self._directories = FileFactsCache(read_imports_only), DirectoryListings()
        self._known: dict[tuple[str, tuple[str, ...]], _ProgramImports] = {}

    def scan(self, program: PythonProgram, roots: tuple[str, ...]) -> _ProgramImports:
        name = program.code_id.partition(":")[0] if program.is_module else program.target
        if (name, roots) not in self._known:
            closure, finder = self._close(program.is_module, name, roots)
            entries = frozenset(_entries(closure, finder)) if closure is not None else frozenset()
            local_modules = [module.name for module in closure.top_modules] if closure is not None else []
            self._known[name, roots] = _ProgramImports(entries, local_modules)
        return self._known[name, roots]

    def _close(
        self, is_module: bool, name: str, roots: tuple[str, ...]
    ) -> tuple[ImportGraph | None, ModuleFinder]:
        if not is_module:
            sys_path = assumed_sys_path(name, self._root, self._file_facts)
            finder = ModuleFinder(roots, sys_path, self._directories)
            return build_import_graph(name, finder, self._file_facts), finder
        finder = ModuleFinder(roots, (), self._directories)
        module = finder.find(name)
        if module is None:
            return None, finder
        return build_module_import_graph(module, finder, self._file_facts), finder


def _entries(closure: ImportGraph, finder: ModuleFinder) -> Iterator[str]:
    for node in closure.nodes.values():
        if node.certainty < LoadCertainty.POSSIBLE and isinstance(node.facts, FileFacts):
            yield from _node_imports(node, node.facts, finder)


def _node_imports(node: ImportNode, facts: FileFacts, finder: ModuleFinder) -> Iterator[str]:
    for item in facts.imports:
        if item.level or ImportCondition.TYPING in item.conditions:
            continue
        is_sure = certainty_of(item, is_main=node.module is None) < LoadCertainty.POSSIBLE
        if is_sure and finder.find(item.module.partition(".")[0]) is None:
            yield item.module
            yield from (f"{item.module}:{name}" for name in item.names if name != "*")
