"""Resolves names and class hierarchies statically, without importing.

A name is followed through the imports of local files to its definition; names from installed packages are
returned unresolved.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator

import msgspec

from argosy.source import control_flow
from argosy.source.module_finder import ModuleFinder
from argosy.source.python_parser import Parsed, parse, pause_gc
from argosy.source.python_source import SourceText, Unparsed, read_source

BUILTINS = "builtins"

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Assign | ast.AnnAssign


class SymbolRef(msgspec.Struct, frozen=True):
    """A name in a module, dotted if it is in a class; empty for the module itself."""

    module: str
    name: str


class ClassDefinition(msgspec.Struct, frozen=True):
    """A class of the tree and the module that defines it."""

    module: str
    node: ast.ClassDef


class SymbolResolver:
    """Resolves names in the modules of one program; each module is read once. Not thread-safe.

    read: returns the tree of a file by its absolute path; by default reads it from disk.
    """

    def __init__(self, finder: ModuleFinder, read: Callable[[str], Parsed | Unparsed] | None = None) -> None:
        self._finder = finder
        self._read = read or _parse_file
        self._parsed: dict[str, Parsed | Unparsed | None] = {}
        self._bindings_by_module: dict[str, dict[str, Definition | SymbolRef]] = {}

    def is_local(self, module: str) -> bool:
        """Return whether a module is in the tree."""
        return self._finder.find(module) is not None

    def read(self, module: str) -> Parsed | Unparsed | None:
        """Return a module's tree or why it does not parse; None if it is not in the tree or not source."""
        if module not in self._parsed:
            found = self._finder.find(module)
            is_source = found is not None and found.kind == "source"
            self._parsed[module] = self._read(found.path) if found and is_source else None
        return self._parsed[module]

    def override_module(self, module: str, parsed: Parsed) -> None:
        """Use `parsed` for a module instead of reading it."""
        self._parsed[module] = parsed
        self._bindings_by_module.pop(module, None)

    def find_class(self, module: str, name: str) -> ClassDefinition | None:
        """Return the class that `name` refers to in a local module, followed through imports."""
        symbol = self.resolve(module, name)
        node = self.find_definition(symbol) if symbol else None
        return ClassDefinition(symbol.module, node) if symbol and isinstance(node, ast.ClassDef) else None

    def base_chain(self, cls: ClassDefinition) -> tuple[ClassDefinition, ...]:
        """Return a class and its bases in the tree, nearest first.

        A base that is reached through two classes comes after the last of them, as in Python's MRO.
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
        """Return the symbol that a name in a local module refers to; None if unknown.

        dotted: as written, such as `Translation` or `np.ndarray`.
        """
        symbol: SymbolRef | None = SymbolRef(module, dotted)
        for _ in range(20):  # the limit of re-exports, which also ends import cycles
            if symbol is None or not self.is_local(symbol.module):
                return symbol
            bindings = self._bindings_of(symbol.module)
            root = next(filter(bindings.__contains__, _prefixes(symbol.name)), "")
            rest = symbol.name[len(root) + 1 :]
            bound = bindings.get(root)
            if bound is None:
                is_builtin = symbol == SymbolRef(module, dotted) and hasattr(builtins, dotted)
                return SymbolRef(BUILTINS, dotted) if is_builtin else None
            if not isinstance(bound, SymbolRef):
                return symbol
            symbol = self._follow_import(bound, rest)
        return None

    def _follow_import(self, bound: SymbolRef, rest: str) -> SymbolRef | None:
        """Follow an import; a name imported from a package may be one of its submodules."""
        dotted = ".".join(filter(None, (bound.name, rest)))
        module = bound.module
        while dotted:
            root, _, further = dotted.partition(".")
            own = self._bindings_of(module).get(root) if self.is_local(module) else None
            is_bound = own not in (None, SymbolRef(module, root))  # a package may import its own submodule
            if is_bound or not self.is_local(f"{module}.{root}"):
                return SymbolRef(module, dotted)
            module, dotted = f"{module}.{root}", further
        return SymbolRef(module, "")

    def find_definition(self, symbol: SymbolRef) -> Definition | None:
        """Return the statement that defines a local name, which may be in a class."""
        names = symbol.name.split(".")
        found = self._bindings_of(symbol.module).get(names[0])
        for name in names[1:]:
            if not isinstance(found, ast.ClassDef):
                return None
            found = dict(_iter_bindings(found.body, symbol.module, is_package=False)).get(name)
        return found if not isinstance(found, SymbolRef) else None

    def _bindings_of(self, module: str) -> dict[str, Definition | SymbolRef]:
        """Return the top-level bindings of a local module, the first one of each name."""
        if module not in self._bindings_by_module:
            parsed = self.read(module)
            found = self._finder.find(module)
            body = parsed.tree.body if isinstance(parsed, Parsed) else []
            bindings: dict[str, Definition | SymbolRef] = {}
            for name, what in _iter_bindings(body, module, is_package=bool(found and found.is_package)):
                bindings.setdefault(name, what)
            self._bindings_by_module[module] = bindings
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
    """Yield the bindings of a module or class, including those under conditions but not in functions."""
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
    """Return the statements in all branches of an if, a try or a with."""
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
    """Yield the bindings of an import: `import a.b as c` binds `c`; `import a.b` binds `a` and `a.b`."""
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
    """Return the absolute module of a `from` import; empty if it goes beyond the top-level package."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    up = node.level - 1 if is_package else node.level
    if up >= len(parts):
        return ""
    return ".".join(filter(None, [*parts[: len(parts) - up], node.module]))
