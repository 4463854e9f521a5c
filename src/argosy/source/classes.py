"""Classes as their sources tell them: where a name leads, and the line of a class's bases.

Nothing is imported. A name is followed through the imports of local files to where it is defined;
what is installed is taken by its name.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator

import msgspec

from argosy.source import flow
from argosy.source.collector import collector_paused
from argosy.source.modules import Finder
from argosy.source.parse import Parsed, parse
from argosy.source.text import Source, Unparsed, read_source

BUILTINS = "builtins"

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Assign | ast.AnnAssign


class Place(msgspec.Struct, frozen=True):
    """A name in a module, with dots where it lies in a class; empty for the module itself."""

    module: str
    name: str


class Class(msgspec.Struct, frozen=True):
    """A class of the tree and the module that defines it."""

    module: str
    node: ast.ClassDef


class Tree:
    """The modules below the roots of one program, each read once. Not for several threads.

    read: how a file is read, by its absolute path; from the disk when None.
    """

    def __init__(self, finder: Finder, read: Callable[[str], Parsed | Unparsed] | None = None) -> None:
        self._finder = finder
        self._read = read or _parse_file
        self._parsed: dict[str, Parsed | Unparsed | None] = {}
        self._bound: dict[str, dict[str, Definition | Place]] = {}

    def is_local(self, module: str) -> bool:
        """Return whether a module is one of the tree's files."""
        return self._finder.find(module) is not None

    def read(self, module: str) -> Parsed | Unparsed | None:
        """Return a module's tree or why there is none; None where it is not of the tree, or no source."""
        if module not in self._parsed:
            found = self._finder.find(module)
            is_source = found is not None and found.kind == "source"
            self._parsed[module] = self._read(found.path) if found and is_source else None
        return self._parsed[module]

    def put(self, module: str, parsed: Parsed) -> None:
        """Take a module as it is given, not as it would be read."""
        self._parsed[module] = parsed
        self._bound.pop(module, None)

    def find_class(self, module: str, name: str) -> Class | None:
        """Return the class that `name` means in a local module, followed through imports."""
        place = self.resolve(module, name)
        node = self.definition(place) if place else None
        return Class(place.module, node) if place and isinstance(node, ast.ClassDef) else None

    def lineage(self, cls: Class) -> tuple[Class, ...]:
        """Return a class and those of its bases that the tree has, nearest first.

        A base that is reached on two ways comes after the last of them, as in Python's own order.
        """
        found = list(self._line(cls, ()))
        return tuple(dict.fromkeys(reversed(found)))[::-1]

    def _line(self, cls: Class, below: tuple[Class, ...]) -> Iterator[Class]:
        if cls in below:
            return
        yield cls
        for base in cls.node.bases:
            written = flow.dotted(base.value if isinstance(base, ast.Subscript) else base)
            found = self.find_class(cls.module, written) if written else None
            if found is not None:
                yield from self._line(found, (*below, cls))

    def resolve(self, module: str, dotted: str) -> Place | None:
        """Return where a name that a local module uses is defined, None when that cannot be told.

        dotted: as written, such as `Translation` or `np.ndarray`.
        """
        place: Place | None = Place(module, dotted)
        for _ in range(20):  # as many re-exports; imports in a circle end here too
            if place is None or not self.is_local(place.module):
                return place
            bindings = self._bindings(place.module)
            root = next(filter(bindings.__contains__, _prefixes(place.name)), "")
            rest = place.name[len(root) + 1 :]
            bound = bindings.get(root)
            if bound is None:
                is_builtin = place == Place(module, dotted) and hasattr(builtins, dotted)
                return Place(BUILTINS, dotted) if is_builtin else None
            if not isinstance(bound, Place):
                return place
            place = self._step(bound, rest)
        return None

    def _step(self, bound: Place, rest: str) -> Place | None:
        """Follow an import: a submodule may be meant by what is taken from its package."""
        dotted = ".".join(filter(None, (bound.name, rest)))
        module = bound.module
        while dotted:
            root, _, further = dotted.partition(".")
            own = self._bindings(module).get(root) if self.is_local(module) else None
            is_bound = own not in (None, Place(module, root))  # a package may take its own submodule
            if is_bound or not self.is_local(f"{module}.{root}"):
                return Place(module, dotted)
            module, dotted = f"{module}.{root}", further
        return Place(module, "")

    def definition(self, place: Place) -> Definition | None:
        """Return the statement that defines a local name, also one within a class."""
        names = place.name.split(".")
        found = self._bindings(place.module).get(names[0])
        for name in names[1:]:
            if not isinstance(found, ast.ClassDef):
                return None
            found = dict(_bindings(found.body, place.module, is_package=False)).get(name)
        return found if not isinstance(found, Place) else None

    def _bindings(self, module: str) -> dict[str, Definition | Place]:
        """Return what a local module binds at its top, each name as it is bound first."""
        if module not in self._bound:
            parsed = self.read(module)
            found = self._finder.find(module)
            body = parsed.tree.body if isinstance(parsed, Parsed) else []
            made: dict[str, Definition | Place] = {}
            for name, what in _bindings(body, module, is_package=bool(found and found.is_package)):
                made.setdefault(name, what)
            self._bound[module] = made
        return self._bound[module]


def _parse_file(path: str) -> Parsed | Unparsed:
    source = read_source(path)
    if not isinstance(source, Source):
        return source
    with collector_paused():
        return parse(source)


def _bindings(
    body: list[ast.stmt], module: str, *, is_package: bool
) -> Iterator[tuple[str, Definition | Place]]:
    """Yield what the statements of a module or a class bind, under conditions too, not in functions."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from _imported(node, module, is_package=is_package)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    yield target.id, node
        else:
            yield from _bindings(_inner(node), module, is_package=is_package)


def _inner(node: ast.stmt) -> list[ast.stmt]:
    """Return the statements of a condition, a try or a with, all branches."""
    if not isinstance(node, ast.If | ast.Try | ast.With):
        return []
    parts: list[ast.stmt] = [*node.body]
    if isinstance(node, ast.Try):
        parts += [inner for handler in node.handlers for inner in handler.body]
        parts += node.finalbody
    return parts + (node.orelse if not isinstance(node, ast.With) else [])


def _imported(
    node: ast.Import | ast.ImportFrom, module: str, *, is_package: bool
) -> Iterator[tuple[str, Place]]:
    """`import a.b as c` binds the submodule, `import a.b` binds `a`, and lets `a.b` be said."""
    source = _absolute(node, module, is_package=is_package) if isinstance(node, ast.ImportFrom) else ""
    for alias in node.names:
        if isinstance(node, ast.Import):
            yield alias.asname or alias.name, Place(alias.name, "")
            if not alias.asname and "." in alias.name:
                root = alias.name.partition(".")[0]
                yield root, Place(root, "")
        elif source:
            yield alias.asname or alias.name, Place(source, alias.name)


def _prefixes(dotted: str) -> list[str]:
    """Return `a.b.c`, `a.b` and `a`."""
    parts = dotted.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _absolute(node: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    """Return the module that a `from` names, empty when its dots lead out of any package."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    up = node.level - 1 if is_package else node.level
    if up >= len(parts):
        return ""
    return ".".join(filter(None, [*parts[: len(parts) - up], node.module]))
