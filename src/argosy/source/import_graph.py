"""Builds the import graph of one program: its local files, and its missing and external imports.

Files are visited in order of certainty: first through imports that always run, then through those whose
failure is caught, then through the rest (in functions, under conditions). So each file keeps its most
certain import chain.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterator
from typing import Literal

import msgspec

from argosy.source.file_facts import FileFacts, FileFactsCache
from argosy.source.import_statements import Import, ImportCondition
from argosy.source.module_finder import Module, ModuleFinder, is_standard
from argosy.source.python_source import Unparsed


class LoadCertainty(enum.IntEnum):
    """How certain it is that a file is loaded when the program starts."""

    CERTAIN = 0
    GUARDED = 1
    POSSIBLE = 2


class ImportStep(msgspec.Struct, frozen=True):
    """One import in the chain to a file."""

    path: str
    line: int
    column: int
    module: str


class ImportNode(msgspec.Struct, frozen=True):
    """A file of the program.

    module: the module it is loaded as; None for the script itself. import_chain: the imports from the
    script to this file. caught: the exceptions that handlers along the chain catch.
    """

    path: str
    facts: FileFacts | Unparsed
    module: Module | None
    certainty: LoadCertainty
    import_chain: tuple[ImportStep, ...] = ()
    caught: frozenset[str] = frozenset()


class MissingImport(msgspec.Struct, frozen=True):
    """A local import that cannot succeed.

    module: the dotted name up to the missing part, or the module that lacks `name`.
    reason: `module`: it does not exist; `name`: the module lacks it; `package`: a relative import goes beyond
    the top-level package.
    """

    node: ImportNode
    statement: Import
    reason: Literal["module", "name", "package"]
    module: str
    name: str
    certainty: LoadCertainty
    caught: frozenset[str]


class ExternalImport(msgspec.Struct, frozen=True):
    """An import that is neither local nor from the standard library."""

    node: ImportNode
    statement: Import
    top: str
    certainty: LoadCertainty
    caught: frozenset[str]


class ImportGraph(msgspec.Struct, frozen=True):
    """The files and imports of a program. nodes: its files by path, in order of certainty."""

    nodes: dict[str, ImportNode]
    missing_imports: tuple[MissingImport, ...]
    external_imports: tuple[ExternalImport, ...]
    top_modules: tuple[Module, ...]

    @property
    def entry(self) -> ImportNode:
        return next(iter(self.nodes.values()))


def build_import_graph(path: str, finder: ModuleFinder, facts_cache: FileFactsCache) -> ImportGraph:
    """Return the import graph of the script at `path`; reads files, never raises.

    Imports under TYPE_CHECKING never run and are omitted.
    """
    builder = _ImportGraphBuilder(finder, facts_cache)
    return builder.build([ImportNode(path, facts_cache.facts(path), None, LoadCertainty.CERTAIN)])


def build_module_import_graph(
    module: Module, finder: ModuleFinder, facts_cache: FileFactsCache
) -> ImportGraph:
    """Return the import graph of a module, including its parent packages."""
    packages = [finder.find(name) for name in _prefixes(module.name)][:-1]
    found = [module, *(package for package in packages if package is not None)]
    nodes = [
        ImportNode(item.path, facts_cache.facts(item.path), item, LoadCertainty.CERTAIN)
        for item in found
        if item.kind == "source"
    ]
    return _ImportGraphBuilder(finder, facts_cache).build(nodes)


def follow_imports(node: ImportNode, finder: ModuleFinder, facts_cache: FileFactsCache) -> ImportGraph:
    """Return the import graph of one file, without the imports of the files that it imports.

    `nodes` contains the file itself first, then each imported file with its most certain import.
    """
    builder = _ImportGraphBuilder(finder, facts_cache)
    builder.nodes[node.path] = node
    if isinstance(node.facts, FileFacts):
        for statement in node.facts.imports:
            builder.follow(node, statement)
    for queue in builder.queues.values():
        for reached in queue:
            builder.nodes.setdefault(reached.path, reached)
    return builder.import_graph()


class _ImportGraphBuilder:
    def __init__(self, finder: ModuleFinder, facts_cache: FileFactsCache) -> None:
        self.finder = finder
        self.facts_cache = facts_cache
        self.nodes: dict[str, ImportNode] = {}
        self.missing_imports: list[MissingImport] = []
        self.external_imports: list[ExternalImport] = []
        self.top_modules: dict[str, Module] = {}
        self.queues: dict[LoadCertainty, deque[ImportNode]] = {each: deque() for each in LoadCertainty}

    def build(self, first: list[ImportNode]) -> ImportGraph:
        self.queues[LoadCertainty.CERTAIN].extend(first)
        while (node := self.next_node()) is not None:
            if isinstance(node.facts, FileFacts):
                for statement in node.facts.imports:
                    self.follow(node, statement)
        return self.import_graph()

    def import_graph(self) -> ImportGraph:
        return ImportGraph(
            self.nodes,
            tuple(self.missing_imports),
            tuple(self.external_imports),
            tuple(self.top_modules.values()),
        )

    def next_node(self) -> ImportNode | None:
        for queue in self.queues.values():
            while queue:
                node = queue.popleft()
                if node.path not in self.nodes:
                    self.nodes[node.path] = node
                    return node
        return None

    def follow(self, node: ImportNode, statement: Import) -> None:
        certainty = max(node.certainty, certainty_of(statement, is_main=node.module is None))
        if ImportCondition.TYPING in statement.conditions or (
            ImportCondition.MAIN in statement.conditions and node.module is not None
        ):
            return
        caught = node.caught | statement.caught
        name = absolute_name(statement, node.module)
        if name is None:
            self.missing_imports.append(
                MissingImport(node, statement, "package", statement.written_name(), "", certainty, caught)
            )
            return
        top = self.finder.find(name.partition(".")[0])
        if top is None or self.is_plain_folder(top, name, statement):
            first = name.partition(".")[0]
            if not statement.level and not is_standard(first):
                self.external_imports.append(ExternalImport(node, statement, first, certainty, caught))
            return
        self.top_modules.setdefault(top.name, top)
        self.resolve(node, statement, name, certainty, caught)

    def is_plain_folder(self, top: Module, name: str, statement: Import) -> bool:
        """Return whether `top` is only a folder of that name without Python files."""
        return (
            top.kind == "namespace"
            and not statement.level
            and not any(self.finder.folders.has_python_files(folder) for folder in top.folders)
        )

    def resolve(
        self, node: ImportNode, statement: Import, name: str, certainty: LoadCertainty, caught: frozenset[str]
    ) -> None:
        import_chain = (*node.import_chain, ImportStep(node.path, statement.line, statement.column, name))
        found: Module | None = None
        for prefix in _prefixes(name):
            found = self.finder.find(prefix)
            if found is None:
                self.missing_imports.append(
                    MissingImport(node, statement, "module", prefix, "", certainty, caught)
                )
                return
            self.enqueue(found, certainty, import_chain, caught)
        if found is None:
            return
        for taken in statement.names:
            submodule = None if taken == "*" else self.finder.find_submodule(found, taken)
            if submodule is not None and not self.is_bound(found, taken):
                self.enqueue(submodule, certainty, import_chain, caught)
            elif submodule is None and not self.can_provide(found, taken):
                self.missing_imports.append(
                    MissingImport(node, statement, "name", name, taken, certainty, caught)
                )

    def enqueue(
        self,
        module: Module,
        certainty: LoadCertainty,
        import_chain: tuple[ImportStep, ...],
        caught: frozenset[str],
    ) -> None:
        if module.kind == "source" and module.path not in self.nodes:
            facts = self.facts_cache.facts(module.path)
            self.queues[certainty].append(
                ImportNode(module.path, facts, module, certainty, import_chain, caught)
            )

    def is_bound(self, module: Module, name: str) -> bool:
        facts = self.facts_cache.facts(module.path) if module.kind == "source" else None
        return isinstance(facts, FileFacts) and name in facts.names

    def can_provide(self, module: Module, name: str) -> bool:
        """Return whether `from module import name` may succeed; true if unknown."""
        if name == "*" or module.kind == "binary":
            return True
        if module.kind == "namespace":
            return False
        facts = self.facts_cache.facts(module.path)
        return isinstance(facts, Unparsed) or facts.can_provide(name)


def certainty_of(statement: Import, *, is_main: bool) -> LoadCertainty:
    """Return how certain it is that an import runs when its module is loaded."""
    rare = (
        statement.conditions
        - {ImportCondition.GUARDED, ImportCondition.DYNAMIC}
        - ({ImportCondition.MAIN} if is_main else set())
    )
    if rare:
        return LoadCertainty.POSSIBLE
    return LoadCertainty.GUARDED if statement.caught else LoadCertainty.CERTAIN


def absolute_name(statement: Import, module: Module | None) -> str | None:
    """Return the absolute name of an import; None if it goes beyond the top-level package."""
    if not statement.level:
        return statement.module
    if module is None:
        return None
    parts = module.name.split(".")
    keep = len(parts) - statement.level + (1 if module.is_package else 0)
    if keep < 1:
        return None
    return ".".join([*parts[:keep], *([statement.module] if statement.module else [])])


def _prefixes(name: str) -> Iterator[str]:
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        yield ".".join(parts[:count])
