"""A whole tree as rules see it: the facts of all files, and where imports lead."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from argosy.refit.fact import FactKind
from argosy.refit.file import module_name
from argosy.refit.walk import is_there
from argosy.source.modules import Finder, Folders, Module
from argosy.source.text import Unparsed

if TYPE_CHECKING:
    from argosy.refit.fleetfile import FleetFile

T = TypeVar("T")


class Tree:
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
        kept: Callable[[str], Mapping[str, bytes]],
        unparsed: Mapping[str, Unparsed],
        entries: Mapping[str, Mapping[str, bool]],
        compared: FleetFile | None,
    ) -> None:
        self.root = root
        self.unparsed = unparsed
        self.fleet = None if compared is None else compared.fleet
        self.fleet_faults = () if compared is None else compared.faults
        treeless = {path for path, fault in unparsed.items() if fault.stage != "compile"}
        self.paths = tuple(sorted(path for path in paths if path.endswith(".py") and path not in treeless))
        self.asked: dict[str, bool] = {}
        self._kept = kept
        self._decoded: dict[str, Mapping[str, Any]] = {}
        self._derived: dict[Callable[[Tree], Any], Any] = {}
        self._folders = Folders({os.path.join(root, path): dict(held) for path, held in entries.items()})
        self._finders: dict[tuple[str, ...], Finder] = {}

    def facts(self, kind: FactKind[T]) -> Mapping[str, T]:
        """Return the facts of one kind by path; only of files that have any. Decoded once."""
        if kind.name not in self._decoded:
            kept = self._kept(kind.name)
            self._decoded[kind.name] = {path: kind.decode(data) for path, data in sorted(kept.items())}
        return self._decoded[kind.name]

    def fact(self, kind: FactKind[T], path: str) -> T | None:
        """Return one file's fact of one kind, None when it has none."""
        if kind.name in self._decoded:
            return self._decoded[kind.name].get(path)
        data = self._kept(kind.name).get(path)
        return None if data is None else kind.decode(data)

    def has(self, path: str) -> bool:
        """Return whether there is a file or folder at a relative path, or one that fits it as a glob.

        For files of any kind, and for `Rule.tree` alone: the answer is kept with what the rule finds, and the
        rule asked anew when it is another.
        """
        if path not in self.asked:
            self.asked[path] = is_there(self.root, path)
        return self.asked[path]

    def derived(self, make: Callable[[Tree], T]) -> T:
        """Return what `make` computes of this tree; computed once for all that ask with the same function."""
        if make not in self._derived:
            self._derived[make] = make(self)
        return self._derived[make]  # type: ignore[no-any-return]

    def finder(self, path: str, added: Iterable[str] = (), *, is_module: bool = False) -> Finder:
        """Return what finds the local modules that the file at `path` may import.

        The folder of the file comes first, as for a script, then what it adds to sys.path, then the
        folders above it, up to the root. added: absolute folders. is_module: it is imported and never run,
        so that its own folder hides nothing of the standard library.
        """
        folder = os.path.dirname(os.path.join(self.root, path))
        key = (folder, "module" if is_module else "script", *added)
        if key not in self._finders:
            above = [folder]
            while above[-1] != self.root:
                above.append(os.path.dirname(above[-1]))
            own, rest = ([], above) if is_module else ([folder], above[1:])
            self._finders[key] = Finder(own, [*added, *rest], self._folders)
        return self._finders[key]

    def is_package(self, folder: str) -> bool:
        """Return whether an absolute folder is a package by its `__init__.py`."""
        return self._folders.has_file(folder, "__init__.py")

    def relative(self, path: str) -> str:
        """Return an absolute path below the root as paths are written here."""
        return os.path.relpath(path, self.root).replace(os.sep, "/")

    def module(self, path: str) -> Module:
        """Return the module that a file is, as seen from the root."""
        whole = os.path.join(self.root, path)
        is_package = os.path.basename(path) == "__init__.py"
        return Module(module_name(path), "source", whole, (os.path.dirname(whole),) if is_package else ())
