"""Everything that one program imports: the local files it reaches, and the imports that lead nowhere.

Files are reached in the order of certainty: first through imports that always run, then through
those whose failure is caught, then through the rest (in functions, under conditions). So the way
to each file that is kept is the surest one.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterator
from typing import Literal

import msgspec

from argosy.source.facts import Facts, Library
from argosy.source.imports import Import, When
from argosy.source.modules import Finder, Module, is_standard
from argosy.source.text import Unparsed


class Reach(enum.IntEnum):
    """How surely a file is loaded when the program starts."""

    CERTAIN = 0
    GUARDED = 1
    PERHAPS = 2


class Step(msgspec.Struct, frozen=True):
    """One import on the way to a file."""

    path: str
    line: int
    column: int
    module: str


class Node(msgspec.Struct, frozen=True):
    """A file of the program.

    module: as which module it is loaded; None for the script itself. way: the imports from the
    script to here. caught: the exceptions that handlers on the way survive.
    """

    path: str
    facts: Facts | Unparsed
    module: Module | None
    reach: Reach
    way: tuple[Step, ...] = ()
    caught: frozenset[str] = frozenset()


class Missing(msgspec.Struct, frozen=True):
    """A local import that cannot succeed.

    module: the dotted name up to the part that is not there, or the module that has no `name`.
    why: `module` is not there, `module` has no `name`, or dots that lead out of any package.
    """

    node: Node
    item: Import
    why: Literal["module", "name", "package"]
    module: str
    name: str
    reach: Reach
    caught: frozenset[str]


class External(msgspec.Struct, frozen=True):
    """An import of something that is neither local nor of the standard library."""

    node: Node
    item: Import
    top: str
    reach: Reach
    caught: frozenset[str]


class Closure(msgspec.Struct, frozen=True):
    """What a program reaches. nodes: its files by path, in the order of certainty."""

    nodes: dict[str, Node]
    missing: tuple[Missing, ...]
    external: tuple[External, ...]
    tops: tuple[Module, ...]

    @property
    def entry(self) -> Node:
        return next(iter(self.nodes.values()))


def close(path: str, finder: Finder, library: Library) -> Closure:
    """Return the closure of local imports of the script at `path`; reads files, never raises.

    Imports under TYPE_CHECKING never run and are left out.
    """
    walk = _Walk(finder, library)
    return walk.run([Node(path, library.facts(path), None, Reach.CERTAIN)])


def close_module(module: Module, finder: Finder, library: Library) -> Closure:
    """Return the closure of a module's file; its packages are loaded with it."""
    packages = [finder.find(name) for name in _prefixes(module.name)][:-1]
    found = [module, *(package for package in packages if package is not None)]
    nodes = [
        Node(item.path, library.facts(item.path), item, Reach.CERTAIN)
        for item in found
        if item.kind == "source"
    ]
    return _Walk(finder, library).run(nodes)


def follow_imports(node: Node, finder: Finder, library: Library) -> Closure:
    """Return where the imports of one file lead: the files that they load at once, and what is missing.

    `nodes` has the file itself first, then each file that it reaches by its surest import. What those
    import in turn is left out.
    """
    walk = _Walk(finder, library)
    walk.nodes[node.path] = node
    if isinstance(node.facts, Facts):
        for item in node.facts.imports:
            walk.follow(node, item)
    for queue in walk.queues.values():
        for reached in queue:
            walk.nodes.setdefault(reached.path, reached)
    return walk.closure()


class _Walk:
    def __init__(self, finder: Finder, library: Library) -> None:
        self.finder = finder
        self.library = library
        self.nodes: dict[str, Node] = {}
        self.missing: list[Missing] = []
        self.external: list[External] = []
        self.tops: dict[str, Module] = {}
        self.queues: dict[Reach, deque[Node]] = {reach: deque() for reach in Reach}

    def run(self, first: list[Node]) -> Closure:
        self.queues[Reach.CERTAIN].extend(first)
        while (node := self.next_node()) is not None:
            if isinstance(node.facts, Facts):
                for item in node.facts.imports:
                    self.follow(node, item)
        return self.closure()

    def closure(self) -> Closure:
        return Closure(self.nodes, tuple(self.missing), tuple(self.external), tuple(self.tops.values()))

    def next_node(self) -> Node | None:
        for queue in self.queues.values():
            while queue:
                node = queue.popleft()
                if node.path not in self.nodes:
                    self.nodes[node.path] = node
                    return node
        return None

    def follow(self, node: Node, item: Import) -> None:
        reach = max(node.reach, reach_of(item, is_main=node.module is None))
        if When.TYPING in item.when or (When.MAIN in item.when and node.module is not None):
            return
        caught = node.caught | item.caught
        name = absolute_name(item, node.module)
        if name is None:
            self.missing.append(Missing(node, item, "package", item.written(), "", reach, caught))
            return
        top = self.finder.find(name.partition(".")[0])
        if top is None or self.is_stray(top, name, item):
            first = name.partition(".")[0]
            if not item.level and not is_standard(first):
                self.external.append(External(node, item, first, reach, caught))
            return
        self.tops.setdefault(top.name, top)
        self.resolve(node, item, name, reach, caught)

    def is_stray(self, top: Module, name: str, item: Import) -> bool:
        """Return whether `top` is but a folder of the same word, with nothing of Python in it."""
        return (
            top.kind == "namespace"
            and not item.level
            and not any(self.finder.folders.holds_python(folder) for folder in top.folders)
        )

    def resolve(self, node: Node, item: Import, name: str, reach: Reach, caught: frozenset[str]) -> None:
        way = (*node.way, Step(node.path, item.line, item.column, name))
        found: Module | None = None
        for prefix in _prefixes(name):
            found = self.finder.find(prefix)
            if found is None:
                self.missing.append(Missing(node, item, "module", prefix, "", reach, caught))
                return
            self.reach(found, reach, way, caught)
        if found is None:
            return
        for taken in item.names:
            submodule = None if taken == "*" else self.finder.find_in(found, taken)
            if submodule is not None and not self.is_bound(found, taken):
                self.reach(submodule, reach, way, caught)
            elif submodule is None and not self.may_hold(found, taken):
                self.missing.append(Missing(node, item, "name", name, taken, reach, caught))

    def reach(self, module: Module, reach: Reach, way: tuple[Step, ...], caught: frozenset[str]) -> None:
        if module.kind == "source" and module.path not in self.nodes:
            facts = self.library.facts(module.path)
            self.queues[reach].append(Node(module.path, facts, module, reach, way, caught))

    def is_bound(self, module: Module, name: str) -> bool:
        facts = self.library.facts(module.path) if module.kind == "source" else None
        return isinstance(facts, Facts) and name in facts.names

    def may_hold(self, module: Module, name: str) -> bool:
        """Return whether `from module import name` may succeed; true where it cannot be told."""
        if name == "*" or module.kind == "binary":
            return True
        if module.kind == "namespace":
            return False
        facts = self.library.facts(module.path)
        return isinstance(facts, Unparsed) or facts.may_hold(name)


def reach_of(item: Import, *, is_main: bool) -> Reach:
    """Return how surely an import runs when its module is loaded."""
    rare = item.when - {When.GUARDED, When.DYNAMIC} - ({When.MAIN} if is_main else set())
    if rare:
        return Reach.PERHAPS
    return Reach.GUARDED if item.caught else Reach.CERTAIN


def absolute_name(item: Import, module: Module | None) -> str | None:
    """Return the dotted name that an import asks for; None when its dots lead out of any package."""
    if not item.level:
        return item.module
    if module is None:
        return None
    parts = module.name.split(".")
    keep = len(parts) - item.level + (1 if module.is_package else 0)
    if keep < 1:
        return None
    return ".".join([*parts[:keep], *([item.module] if item.module else [])])


def _prefixes(name: str) -> Iterator[str]:
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        yield ".".join(parts[:count])
