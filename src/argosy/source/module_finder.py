"""Finds the file of a module by its dotted name, like Python's path finder but without importing."""

from __future__ import annotations

import importlib.machinery
import os
import sys
from collections.abc import Sequence
from typing import Literal

import msgspec

ModuleKind = Literal["source", "binary", "namespace"]

_SUFFIXES: tuple[tuple[str, ModuleKind], ...] = (
    *((suffix, "binary") for suffix in importlib.machinery.EXTENSION_SUFFIXES),
    *((suffix, "source") for suffix in importlib.machinery.SOURCE_SUFFIXES),
    *((suffix, "binary") for suffix in importlib.machinery.BYTECODE_SUFFIXES),
)
# Loaded before a script's folder is on the path, so that no file next to the script can shadow them.
_PRELOADED_MODULES = frozenset(sys.builtin_module_names) | {
    "_collections_abc",
    "_sitebuiltins",
    "abc",
    "codecs",
    "encodings",
    "genericpath",
    "io",
    "os",
    "posixpath",
    "site",
    "stat",
}


class Module(msgspec.Struct, frozen=True):
    """A module that was found.

    path: its file, `__init__` for a package; empty for a namespace package.
    folders: the folders of its submodules; empty if it is not a package.
    """

    name: str
    kind: ModuleKind
    path: str
    folders: tuple[str, ...] = ()

    @property
    def is_package(self) -> bool:
        return bool(self.folders)


class DirectoryListings:
    """A cache of folder listings, shared by the finders of one check.

    entries: known listings by absolute path; each maps a name to whether it is a folder.
    """

    def __init__(self, entries: dict[str, dict[str, bool]] | None = None) -> None:
        self._entries: dict[str, dict[str, bool]] = entries or {}

    def entries_of(self, folder: str) -> dict[str, bool]:
        """Return a map from name to whether it is a folder; empty if the folder cannot be read."""
        known = self._entries.get(folder)
        if known is None:
            try:
                with os.scandir(folder or os.curdir) as listing:
                    known = {entry.name: entry.is_dir() for entry in listing}
            except (OSError, ValueError):
                known = {}
            self._entries[folder] = known
        return known

    def has_file(self, folder: str, name: str) -> bool:
        return self.entries_of(folder).get(name) is False

    def has_folder(self, folder: str, name: str) -> bool:
        return self.entries_of(folder).get(name) is True

    def has_python_files(self, folder: str, depth: int = 2) -> bool:
        """Return whether `folder` contains a `*.py` file, at most `depth` levels down."""
        entries = self.entries_of(folder)
        if any(not is_folder and name.endswith(".py") for name, is_folder in entries.items()):
            return True
        return depth > 0 and any(
            self.has_python_files(os.path.join(folder, name), depth - 1)
            for name, is_folder in entries.items()
            if is_folder and name.isidentifier()
        )


class ModuleFinder:
    """Finds local modules below the roots of one program.

    roots: the folders that are certainly on sys.path before the standard library, in order.
    assumed_roots: folders searched after it (the root of the tree, folders added by the program).
    """

    def __init__(
        self,
        roots: Sequence[str],
        assumed_roots: Sequence[str] = (),
        folders: DirectoryListings | None = None,
    ) -> None:
        self.roots = tuple(dict.fromkeys(roots))
        self.assumed_roots = tuple(root for root in dict.fromkeys(assumed_roots) if root not in self.roots)
        self.folders = folders or DirectoryListings()
        self._cache: dict[str, Module | None] = {}

    def find(self, name: str) -> Module | None:
        """Return the local module `name`, or None if it is not local or does not exist."""
        if name not in self._cache:
            head, _, tail = name.rpartition(".")
            if head:
                parent = self.find(head)
                self._cache[name] = self.find_submodule(parent, tail) if parent is not None else None
            else:
                self._cache[name] = self._find_top(name)
        return self._cache[name]

    def find_submodule(self, package: Module, name: str) -> Module | None:
        """Return the submodule `name` of `package`."""
        return self._search(f"{package.name}.{name}", name, package.folders)

    def is_assumed(self, module: Module) -> bool:
        """Return whether a top-level module is in a folder that may not be on sys.path."""
        return self._search(module.name, module.name, self.roots) is None

    def folder_of(self, module: Module) -> str:
        """Return the folder that contains a top-level module."""
        inside = module.folders[0] if module.folders else module.path
        return os.path.dirname(inside)

    def _find_top(self, name: str) -> Module | None:
        if name in _PRELOADED_MODULES:
            return None
        found = self._search(name, name, self.roots)
        if found is not None and found.kind != "namespace":
            return found
        if is_standard(name):
            return None
        # A folder without `__init__` is used only if no root has a regular module.
        return self._search(name, name, self.roots + self.assumed_roots)

    def _search(self, name: str, last: str, folders: Sequence[str]) -> Module | None:
        portions: list[str] = []
        for folder in folders:
            if self.folders.has_folder(folder, last):
                inside = os.path.join(folder, last)
                found = self._file(name, inside, "__init__", (inside,))
                if found is not None:
                    return found
                portions.append(inside)
            found = self._file(name, folder, last, ())
            if found is not None:
                return found
        return Module(name, "namespace", "", tuple(portions)) if portions else None

    def _file(self, name: str, folder: str, stem: str, inside: tuple[str, ...]) -> Module | None:
        for suffix, kind in _SUFFIXES:
            if self.folders.has_file(folder, stem + suffix):
                return Module(name, kind, os.path.join(folder, stem + suffix), inside)
        return None


def is_standard(name: str) -> bool:
    """Return whether the top-level module `name` is in the standard library."""
    return name in sys.stdlib_module_names


def is_installed(name: str) -> bool:
    """Return whether the running interpreter would find the top-level module `name`; imports nothing.

    Asks the finders on sys.meta_path, so that editable installs count too.
    """
    for finder in sys.meta_path:
        find_spec = getattr(finder, "find_spec", None)
        if find_spec is not None and find_spec(name, None) is not None:
            return True
    return False
