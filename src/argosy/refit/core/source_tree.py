"""A whole tree as rules see it: the facts of all files, and the modules that imports find."""

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
    """What a cross-file rule can query.

    root: absolute. paths: the Python files that have a syntax tree, sorted, relative to the root.
    stored_facts: returns the encoded facts of a kind, by path. unparsed: the files that Python cannot run,
    and why; those that only do not compile have a syntax tree. entries: the entries of each folder, name to
    is-a-folder. audited_fleet: the fleet to compare with, None for none: address rules then have nothing to
    compare. fleet_faults: the faults of the fleet file itself.
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
            {os.path.join(root, path): dict(listing) for path, listing in entries.items()}
        )
        self._module_finders: dict[tuple[str, ...], ModuleFinder] = {}

    def facts(self, kind: FactKind[T]) -> Mapping[str, T]:
        """Return the facts of one kind by path, for the files that have any. Decoded once."""
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
        """Return whether a file or folder exists at a relative path, or matches it as a glob.

        For files of any type, and only for `Rule.check_tree`: the answer is stored with the rule's findings,
        and the rule is evaluated again when the answer changes.
        """
        if path not in self.path_checks:
            self.path_checks[path] = has_path(self.root, path)
        return self.path_checks[path]

    def compute_once(self, compute: Callable[[SourceTree], T]) -> T:
        """Return what `compute` returns for this tree; it is called once for all rules."""
        if compute not in self._derived:
            self._derived[compute] = compute(self)
        return self._derived[compute]  # type: ignore[no-any-return]

    def module_finder(
        self, path: str, extra_paths: Iterable[str] = (), *, is_module: bool = False
    ) -> ModuleFinder:
        """Return a finder of the local modules that the file at `path` may import.

        It searches the folder of the file first, as for a script, then what the file adds to sys.path, then
        the parent folders up to the root. extra_paths: absolute folders. is_module: the file is imported and
        never run, so its own folder does not shadow the standard library.
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
        """Return whether an absolute folder has an `__init__.py`."""
        return self._listings.has_file(directory, "__init__.py")

    def relative_path(self, path: str) -> str:
        """Return an absolute path relative to the root, with `/`."""
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
