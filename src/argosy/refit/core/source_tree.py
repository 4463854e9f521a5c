"""A whole tree as rules see it: the facts of all files, and where imports lead."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from argosy.refit.core.discovery import has_path
from argosy.refit.core.fact import FactKind
from argosy.refit.core.source_file import module_name
from argosy.source.module_finder import DirectoryListings, Module, ModuleFinder
from argosy.source.python_source import Unparsed

if TYPE_CHECKING:
    from argosy.refit.core.audited_fleet import AuditedFleet

T = TypeVar("T")


class SourceTree:
    """What a rule of the tree may know.

    root: absolute. paths: the Python files that have a tree, sorted, relative to it. kept: returns the facts
    of a kind as they are kept, by path. unparsed: the files that Python cannot run, and why; the compiler
    refuses some that have a tree. fleet: the fleet that the tree is audited with, None without one: address
    rules then have nothing to compare with. fleet_faults: what is wrong with the fleet file in itself.
    entries: what each folder holds, name to is-a-folder.
    """

    def __init__(
        self,
        root: str,
        paths: Iterable[str],
        stored_facts: Callable[[str], Mapping[str, bytes]],
        unparsed: Mapping[str, Unparsed],
        entries: Mapping[str, Mapping[str, bool]],
        audited_fleet: AuditedFleet | None,
    ) -> None:
        self.root = root
        self.unparsed = unparsed
        self.fleet = None if audited_fleet is None else audited_fleet.fleet
        self.fleet_faults = () if audited_fleet is None else audited_fleet.faults
        treeless = {path for path, fault in unparsed.items() if fault.stage != "compile"}
        self.paths = tuple(sorted(path for path in paths if path.endswith(".py") and path not in treeless))
        self.path_checks: dict[str, bool] = {}
        self._stored_facts = stored_facts
        self._decoded: dict[str, Mapping[str, Any]] = {}
        self._derived: dict[Callable[[SourceTree], Any], Any] = {}
        self._listings = DirectoryListings(
            {os.path.join(root, path): dict(held) for path, held in entries.items()}
        )
        self._module_finders: dict[tuple[str, ...], ModuleFinder] = {}

    def facts(self, kind: FactKind[T]) -> Mapping[str, T]:
        """Return the facts of one kind by path; only of files that have any. Decoded once."""
        if kind.name not in self._decoded:
            stored = self._stored_facts(kind.name)
            self._decoded[kind.name] = {path: kind.decode(data) for path, data in sorted(stored.items())}
        return self._decoded[kind.name]

    def fact(self, kind: FactKind[T], path: str) -> T | None:
        """Return one file's fact of one kind, None when it has none."""
        if kind.name in self._decoded:
            return self._decoded[kind.name].get(path)
        data = self._stored_facts(kind.name).get(path)
        return None if data is None else kind.decode(data)

    def has_path(self, path: str) -> bool:
        """Return whether there is a file or folder at a relative path, or one that fits it as a glob.

        For files of any kind, and for `Rule.tree` alone: the answer is kept with what the rule finds, and the
        rule asked anew when it is another.
        """
        if path not in self.path_checks:
            self.path_checks[path] = has_path(self.root, path)
        return self.path_checks[path]

    def compute_once(self, compute: Callable[[SourceTree], T]) -> T:
        """Return what `make` computes of this tree; computed once for all that ask with the same function."""
        if compute not in self._derived:
            self._derived[compute] = compute(self)
        return self._derived[compute]  # type: ignore[no-any-return]

    def module_finder(
        self, path: str, extra_paths: Iterable[str] = (), *, is_module: bool = False
    ) -> ModuleFinder:
        """Return what finds the local modules that the file at `path` may import.

        The folder of the file comes first, as for a script, then what it adds to sys.path, then the
        folders above it, up to the root. added: absolute folders. is_module: it is imported and never run,
        so that its own folder hides nothing of the standard library.
        """
        directory = os.path.dirname(os.path.join(self.root, path))
        key = (directory, "module" if is_module else "script", *extra_paths)
        if key not in self._module_finders:
            parent_directories = [directory]
            while parent_directories[-1] != self.root:
                parent_directories.append(os.path.dirname(parent_directories[-1]))
            own, rest = ([], parent_directories) if is_module else ([directory], parent_directories[1:])
            self._module_finders[key] = ModuleFinder(own, [*extra_paths, *rest], self._listings)
        return self._module_finders[key]

    def is_package(self, directory: str) -> bool:
        """Return whether an absolute folder is a package by its `__init__.py`."""
        return self._listings.has_file(directory, "__init__.py")

    def relative_path(self, path: str) -> str:
        """Return an absolute path below the root as paths are written here."""
        return os.path.relpath(path, self.root).replace(os.sep, "/")

    def module_at(self, path: str) -> Module:
        """Return the module that a file is, as seen from the root."""
        absolute_path = os.path.join(self.root, path)
        is_package = os.path.basename(path) == "__init__.py"
        return Module(
            module_name(path),
            "source",
            absolute_path,
            (os.path.dirname(absolute_path),) if is_package else (),
        )
