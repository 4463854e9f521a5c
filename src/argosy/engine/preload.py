"""What a zygote is to load: the modules that at least two of its programs surely import.

Read from the sources, nothing is imported. Packages are named as the programs name them; what a
program calls its own (a local file of that name) is told apart, since it may not be forked from
an interpreter that has another module of that name loaded.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.program import Program
from argosy.engine.sources import assumed_folders
from argosy.source.closure import Closure, Node, Reach, close, close_module, reach_of
from argosy.source.facts import Facts, Library, read_outline
from argosy.source.imports import When
from argosy.source.modules import Finder, Folders

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_SHARED_BY = 2


class Scouted(NamedTuple):
    """entries: what to load, as Warmth.load takes it. own: code of a program to its local top modules."""

    entries: list[str]
    own: dict[str, list[str]]


def scout(programs: Iterable[tuple[Program, Sequence[str]]], root: str) -> Scouted:
    """Return what these programs share.

    programs: each with the folders that come first on its sys.path. root: the fleet file's folder.
    """
    look = _Look(root)
    counts: Counter[str] = Counter()
    own: dict[str, list[str]] = {}
    for program, roots in programs:
        found = look.at(program, tuple(roots))
        counts.update(found.entries)
        own[program.code] = found.own
    shared = [entry for entry, count in counts.items() if count >= _SHARED_BY]
    # What most need comes first: a module that is left out then takes the fewest with it.
    return Scouted(sorted(shared, key=lambda entry: (-counts[entry], entry)), own)


class _Found(NamedTuple):
    entries: frozenset[str]
    own: list[str]


class _Look:
    """One look at all programs; each file is read once, each module's imports followed once."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._library, self._folders = Library(read_outline), Folders()
        self._known: dict[tuple[str, tuple[str, ...]], _Found] = {}

    def at(self, program: Program, roots: tuple[str, ...]) -> _Found:
        name = program.code.partition(":")[0] if program.is_module else program.target
        if (name, roots) not in self._known:
            closure, finder = self._close(program.is_module, name, roots)
            entries = frozenset(_entries(closure, finder)) if closure is not None else frozenset()
            own = [module.name for module in closure.tops] if closure is not None else []
            self._known[name, roots] = _Found(entries, own)
        return self._known[name, roots]

    def _close(self, is_module: bool, name: str, roots: tuple[str, ...]) -> tuple[Closure | None, Finder]:
        if not is_module:
            finder = Finder(roots, assumed_folders(name, self._root, self._library), self._folders)
            return close(name, finder, self._library), finder
        finder = Finder(roots, (), self._folders)
        module = finder.find(name)
        return (close_module(module, finder, self._library) if module is not None else None), finder


def _entries(closure: Closure, finder: Finder) -> Iterator[str]:
    for node in closure.nodes.values():
        if node.reach < Reach.PERHAPS and isinstance(node.facts, Facts):
            yield from _of_node(node, node.facts, finder)


def _of_node(node: Node, facts: Facts, finder: Finder) -> Iterator[str]:
    for item in facts.imports:
        if item.level or When.TYPING in item.when:
            continue
        is_sure = reach_of(item, is_main=node.module is None) < Reach.PERHAPS
        if is_sure and finder.find(item.module.partition(".")[0]) is None:
            yield item.module
            yield from (f"{item.module}:{name}" for name in item.names if name != "*")
