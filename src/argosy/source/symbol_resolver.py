"""Classes as their sources tell them: where a name leads, and the line of a class's bases.

Nothing is imported. A name is followed through the imports of local files to where it is defined;
what is installed is taken by its name.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator

import msgspec

from argosy.source import control_flow
from argosy.source.gc_pause import pause_gc
from argosy.source.module_finder import ModuleFinder
from argosy.source.python_parser import Parsed, parse
from argosy.source.python_source import SourceText, Unparsed, read_source

BUILTINS = "builtins"

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Assign | ast.AnnAssign


class SymbolRef(msgspec.Struct, frozen=True):
    """A name in a module, with dots where it lies in a class; empty for the module itself."""

    module: str
    name: str


class ClassDefinition(msgspec.Struct, frozen=True):
    """A class of the tree and the module that defines it."""

    module: str
    node: ast.ClassDef


class SymbolResolver:
    """The modules below the roots of one program, each read once. Not for several threads.

    read: how a file is read, by its absolute path; from the disk when None.
    """

    def __init__(self, finder: ModuleFinder, read: Callable[[str], Parsed | Unparsed] | None = None) -> None:
        self._finder = finder
        self._read = read or _parse_file
        self._parsed: dict[str, Parsed | Unparsed | None] = {}
        self._bindings_by_module: dict[str, dict[str, Definition | SymbolRef]] = {}

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

    def override_module(self, module: str, parsed: Parsed) -> None:
        """Take a module as it is given, not as it would be read."""
        self._parsed[module] = parsed
        self._bindings_by_module.pop(module, None)

    def find_class(self, module: str, name: str) -> ClassDefinition | None:
        """Return the class that `name` means in a local module, followed through imports."""
        place = self.resolve(module, name)
        node = self.find_definition(place) if place else None
        return ClassDefinition(place.module, node) if place and isinstance(node, ast.ClassDef) else None

    def base_chain(self, cls: ClassDefinition) -> tuple[ClassDefinition, ...]:
        """Return a class and those of its bases that the tree has, nearest first.

        A base that is reached on two ways comes after the last of them, as in Python's own order.
        """
        found = list(self._walk_bases(cls, ()))
        return tuple(dict.fromkeys(reversed(found)))[::-1]

    def _walk_bases(
        self, cls: ClassDefinition, descendants: tuple[ClassDefinition, ...]
    ) -> Iterator[ClassDefinition]:
        if cls in descendants:
            return
        yield cls
        for base in cls.node.bases:
            base_name = control_flow.dotted_name(base.value if isinstance(base, ast.Subscript) else base)
            found = self.find_class(cls.module, base_name) if base_name else None
            if found is not None:
                yield from self._walk_bases(found, (*descendants, cls))

    def resolve(self, module: str, dotted: str) -> SymbolRef | None:
        """Return where a name that a local module uses is defined, None when that cannot be told.

        dotted: as written, such as `Translation` or `np.ndarray`.
        """
        place: SymbolRef | None = SymbolRef(module, dotted)
        for _ in range(20):  # as many re-exports; imports in a circle end here too
            if place is None or not self.is_local(place.module):
                return place
            bindings = self._bindings_of(place.module)
            root = next(filter(bindings.__contains__, _prefixes(place.name)), "")
            rest = place.name[len(root) + 1 :]
            bound = bindings.get(root)
            if bound is None:
                is_builtin = place == SymbolRef(module, dotted) and hasattr(builtins, dotted)
                return SymbolRef(BUILTINS, dotted) if is_builtin else None
            if not isinstance(bound, SymbolRef):
                return place
            place = self._follow_import(bound, rest)
        return None

    def _follow_import(self, bound: SymbolRef, rest: str) -> SymbolRef | None:
        """Follow an import: a submodule may be meant by what is taken from its package."""
        dotted = ".".join(filter(None, (bound.name, rest)))
        module = bound.module
        while dotted:
            root, _, further = dotted.partition(".")
            own = self._bindings_of(module).get(root) if self.is_local(module) else None
            is_bound = own not in (None, SymbolRef(module, root))  # a package may take its own submodule
            if is_bound or not self.is_local(f"{module}.{root}"):
                return SymbolRef(module, dotted)
            module, dotted = f"{module}.{root}", further
        return SymbolRef(module, "")

    def find_definition(self, place: SymbolRef) -> Definition | None:
        """Return the statement that defines a local name, also one within a class."""
        names = place.name.split(".")
        found = self._bindings_of(place.module).get(names[0])
        for name in names[1:]:
            if not isinstance(found, ast.ClassDef):
                return None
            found = dict(_iter_bindings(found.body, place.module, is_package=False)).get(name)
        return found if not isinstance(found, SymbolRef) else None

    def _bindings_of(self, module: str) -> dict[str, Definition | SymbolRef]:
        """Return what a local module binds at its top, each name as it is bound first."""
        if module not in self._bindings_by_module:
            parsed = self.read(module)
            found = self._finder.find(module)
            body = parsed.tree.body if isinstance(parsed, Parsed) else []
            made: dict[str, Definition | SymbolRef] = {}
            for name, what in _iter_bindings(body, module, is_package=bool(found and found.is_package)):
                made.setdefault(name, what)
            self._bindings_by_module[module] = made
        return self._bindings_by_module[module]


def _parse_file(path: str) -> Parsed | Unparsed:
    source = read_source(path)
    if not isinstance(source, SourceText):
        return source
    with pause_gc():
        return parse(source)


def _iter_bindings(
    body: list[ast.stmt], module: str, *, is_package: bool
) -> Iterator[tuple[str, Definition | SymbolRef]]:
    """Yield what the statements of a module or a class bind, under conditions too, not in functions."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from _import_bindings(node, module, is_package=is_package)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    yield target.id, node
        else:
            yield from _iter_bindings(_nested_statements(node), module, is_package=is_package)


def _nested_statements(node: ast.stmt) -> list[ast.stmt]:
    """Return the statements of a condition, a try or a with, all branches."""
    if not isinstance(node, ast.If | ast.Try | ast.With):
        return []
    parts: list[ast.stmt] = [*node.body]
    if isinstance(node, ast.Try):
        parts += [inner for handler in node.handlers for inner in handler.body]
        parts += node.finalbody
    return parts + (node.orelse if not isinstance(node, ast.With) else [])


def _import_bindings(
    node: ast.Import | ast.ImportFrom, module: str, *, is_package: bool
) -> Iterator[tuple[str, SymbolRef]]:
    """`import a.b as c` binds the submodule, `import a.b` binds `a`, and lets `a.b` be said."""
    source = _absolute_module(node, module, is_package=is_package) if isinstance(node, ast.ImportFrom) else ""
    for alias in node.names:
        if isinstance(node, ast.Import):
            yield alias.asname or alias.name, SymbolRef(alias.name, "")
            if not alias.asname and "." in alias.name:
                root = alias.name.partition(".")[0]
                yield root, SymbolRef(root, "")
        elif source:
            yield alias.asname or alias.name, SymbolRef(source, alias.name)


def _prefixes(dotted: str) -> list[str]:
    """Return `a.b.c`, `a.b` and `a`."""
    parts = dotted.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _absolute_module(node: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    """Return the module that a `from` names, empty when its dots lead out of any package."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    up = node.level - 1 if is_package else node.level
    if up >= len(parts):
        return ""
    return ".".join(filter(None, [*parts[: len(parts) - up], node.module]))
