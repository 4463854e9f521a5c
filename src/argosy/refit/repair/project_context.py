"""Answers queries of start-up rules about the tree around a file. Each answer is computed on demand."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property

from argosy.refit.analysis.helper_contract import ModuleHelpers, find_accepted_keys, read_helpers
from argosy.refit.core.source_file import module_name
from argosy.refit.repair.module_view import ModuleView
from argosy.refit.repair.project_names import ProjectNames
from argosy.source.control_flow import dotted_name
from argosy.source.module_finder import DirectoryListings, ModuleFinder
from argosy.source.python_parser import Parsed, parse, pause_gc
from argosy.source.python_source import SourceText, Unparsed, read_source
from argosy.source.symbol_resolver import ClassDefinition, Definition, SymbolRef, SymbolResolver

# What was left where a person should have put a value: `<BIND_ADDR>`.
PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_]*>")


class ProjectContext:
    """The tree of a repair. Keeps only the syntax trees that were requested.

    paths: the tree's files, relative to `root`. names: how they use the unbound names. repaired: sources that
    replace those on disk, by path. missing_packages: top-level modules that are declared missing where the
    code will run.
    """

    def __init__(
        self,
        root: str,
        paths: Sequence[str],
        names: ProjectNames | None = None,
        repaired: Mapping[str, SourceText] | None = None,
        missing_packages: Collection[str] = (),
    ) -> None:
        self.root = root
        self.paths = paths
        self.names = names or ProjectNames(root)
        self.missing_packages = frozenset(missing_packages)
        self._repaired = repaired or {}
        self._finder = ModuleFinder([root], (), DirectoryListings())
        self._fallbacks_by_variable: dict[str, tuple[str, ...]] = {}
        self._helpers_by_module: dict[str, tuple[Parsed, ModuleHelpers]] = {}
        self._called_methods: dict[str, bool] = {}

    @cached_property
    def classes(self) -> SymbolResolver:
        """The modules of the tree, as seen from its root."""
        return SymbolResolver(self._finder, self._parse)

    def has_folder(self, path: str) -> bool:
        """Return whether the tree has a folder, relative to its root."""
        return bool(path) and os.path.isdir(os.path.join(self.root, path))

    def has_module(self, module: str) -> bool:
        """Return whether the tree has this module."""
        return self._finder.find(module) is not None

    def has_file(self, stem: str) -> bool:
        """Return whether the tree has a module or package at a path without suffix."""
        return bool({f"{stem}.py", f"{stem}/__init__.py"} & self._known_paths)

    def find_only_module(self, tail: str) -> str | None:
        """Return the one module of the tree whose dotted name ends in `tail`; None for none or several."""
        stem = tail.replace(".", "/")
        ends = (f"/{stem}.py", f"/{stem}/__init__.py")
        found = [path for path in self.paths if path.endswith(ends)]
        name = module_name(found[0]) if len(found) == 1 else ""
        return name if name and self.has_module(name) else None

    def is_imported(self, module: str) -> bool:
        """Return whether the text of a file imports names from a module by this name."""
        return self._any_file_contains(f"from {module} import ", self.paths)

    def definition(self, view: ModuleView, name: str) -> Definition | None:
        """Return the statement that defines `name` as a file sees it, if it is in the tree."""
        place = self.classes.resolve(self._current_module(view), name)
        return self.classes.find_definition(place) if place is not None else None

    def lineage(self, view: ModuleView, name: str) -> tuple[ClassDefinition, ...]:
        """Return the class that `name` refers to in a file, and its bases in the tree; empty without one."""
        found = self.classes.find_class(self._current_module(view), name)
        return self.classes.base_chain(found) if found is not None else ()

    def _current_module(self, view: ModuleView) -> str:
        """Return the name of a file's module, whose source is the view's from here on."""
        module = module_name(view.path)
        if self.classes.read(module) is not view.parsed:
            self.classes.override_module(module, view.parsed)
        return module

    def accepted_arguments(self, view: ModuleView, name: str, line: int) -> frozenset[str] | None:
        """Return the strings that a function accepts as its first argument; None if that is unknown.

        line: of the module's statement that calls it, which sees the last binding above it.
        """
        place = self._resolve_at_line(view, name, line)
        found = (
            find_accepted_keys(self._helpers, self._resolve_import, place.module, place.name)
            if place is not None
            else None
        )
        if found is None or any(map(self._is_called, found.extended_by)):
            return None
        return found.keys

    def _resolve_at_line(self, view: ModuleView, name: str, line: int) -> SymbolRef | None:
        above = [item for item in view.scope.bindings.get(name, ()) if item.line < line]
        if len(above) < 2:
            return self.classes.resolve(self._current_module(view), name)
        module, _, attribute = max(above, key=lambda item: item.line).origin.rpartition(".")
        return self.classes.resolve(module, attribute) if self.classes.is_local(module) else None

    def returns_text(self, view: ModuleView, name: str) -> bool:
        """Return whether a function of the tree always returns a string."""
        place = self.classes.resolve(self._current_module(view), name)
        helpers = self._helpers(place.module) if place is not None else None
        function = helpers.functions.get(place.name) if place is not None and helpers is not None else None
        return function is not None and function.return_type == "str"

    def _helpers(self, module: str) -> ModuleHelpers | None:
        parsed = self.classes.read(module)
        if not isinstance(parsed, Parsed):
            return None
        known = self._helpers_by_module.get(module)
        if known is None or known[0] is not parsed:
            known = self._helpers_by_module[module] = (parsed, read_helpers(parsed.tree))
        return known[1]

    def _resolve_import(self, module: str, name: str) -> tuple[str, str] | None:
        place = self.classes.resolve(module, name)
        return (place.module, place.name) if place is not None else None

    def _is_called(self, method: str) -> bool:
        """Return whether the text of a file that is not a test calls a method of this name."""
        if method not in self._called_methods:
            self._called_methods[method] = self._any_file_contains(
                f".{method}(", [path for path in self.paths if not _is_test(path)]
            )
        return self._called_methods[method]

    def _any_file_contains(self, text: str, paths: Sequence[str]) -> bool:
        """Return whether one of these files contains a text."""
        data = text.encode()
        return any(
            isinstance(source := self._source(path), SourceText) and data in source.data for path in paths
        )

    def exists_only_elsewhere(self, top: str, folder: str) -> bool:
        """Return whether a module or package of this name is in the tree, but not in `folder`."""
        prefix = f"{folder}/" if folder else ""
        if any(path in self._known_paths for path in (f"{prefix}{top}.py", f"{prefix}{top}/__init__.py")):
            return False
        return top in self._known_names

    @cached_property
    def _known_paths(self) -> frozenset[str]:
        return frozenset(self.paths)

    @cached_property
    def _known_names(self) -> frozenset[str]:
        """The names of the tree's files, without suffix, and of their folders."""
        return frozenset(part for path in self.paths for part in path.removesuffix(".py").split("/"))

    def find_fallbacks(self, variable: str) -> tuple[str, ...]:
        """Return the strings that the tree's files use as a variable's fallback, one for each place."""
        if variable not in self._fallbacks_by_variable:
            found: list[str] = []
            with pause_gc():
                for path in self.paths:
                    source = self._source(path)
                    if isinstance(source, SourceText) and variable.encode() in source.data:
                        parsed = parse(source, is_compiled=False)
                        found += _find_fallbacks(parsed, variable) if isinstance(parsed, Parsed) else ()
            self._fallbacks_by_variable[variable] = tuple(found)
        return self._fallbacks_by_variable[variable]

    def _source(self, path: str) -> SourceText | Unparsed:
        return self._repaired.get(path) or read_source(os.path.join(self.root, path))

    def _parse(self, path: str) -> Parsed | Unparsed:
        source = self._source(os.path.relpath(path, self.root).replace(os.sep, "/"))
        if not isinstance(source, SourceText):
            return source
        with pause_gc():
            return parse(source, is_compiled=False)


def parse_fallback(node: ast.AST) -> tuple[str, ast.Constant] | None:
    """Return variable and fallback of a call such as `os.environ.get("HOST", "localhost")`.

    Any function counts whose last name contains `get` and `env`, and `get` of an `environ`.
    """
    if not isinstance(node, ast.Call) or len(node.args) != 2 or node.keywords:
        return None
    function = dotted_name(node.func)
    if not (
        function.endswith("environ.get") or {"get", "env"} <= set(re.findall("get|env", function.lower()))
    ):
        return None
    name, text = node.args
    if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
        return None
    is_text = isinstance(text, ast.Constant) and isinstance(text.value, str)
    return (name.value, text) if isinstance(text, ast.Constant) and is_text else None


def _is_test(path: str) -> bool:
    *folders, name = path.split("/")
    return name.startswith("test_") or name == "conftest.py" or bool({"test", "tests"} & set(folders))


def _find_fallbacks(parsed: Parsed, variable: str) -> list[str]:
    found = [parse_fallback(node) for node in ast.walk(parsed.tree)]
    return [str(item[1].value) for item in found if item is not None and item[0] == variable]
