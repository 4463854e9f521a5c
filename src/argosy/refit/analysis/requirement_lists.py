"""Decides which files of a tree each list of requirements applies to.

A requirements file that a Dockerfile installs applies to the files of that image. Any other applies to the
nearest directory, its own or a parent, whose files use a third of it, with the files of the tree that these
import; else to the whole tree. Unknown cases extend the set: then nothing is called unused that may be
needed.
"""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Collection, Iterable, Mapping

import msgspec

from argosy.refit.analysis.facts.external_imports import EXTERNAL_IMPORTS, ExternalImports
from argosy.refit.analysis.facts.installed_packages import INSTALLS
from argosy.refit.core.source_tree import SourceTree
from argosy.source.distributions import find_providers
from argosy.source.install_manifests import FileInstalls
from argosy.source.requirements import Requirements

_MIN_SHARE_DIVISOR = 3


class RequirementList(msgspec.Struct, frozen=True):
    """One list of requirements.

    path: of its file. files: the Python files that it applies to. includes: the lists that it includes,
    transitively.
    is_dockerfile: it is a Dockerfile. is_self_contained: everything in its image is installed by it, and it
    copies named parts of the tree, not everything.
    """

    path: str
    requirements: Requirements
    files: frozenset[str]
    includes: tuple[str, ...] = ()
    is_dockerfile: bool = False
    is_self_contained: bool = False


def find_requirement_lists(tree: SourceTree) -> tuple[RequirementList, ...]:
    """Return the lists of a tree, in the order of their paths, for `tree.derived`."""
    return _RequirementListFinder(tree).find()


class _RequirementListFinder:
    def __init__(self, tree: SourceTree) -> None:
        self.tree = tree
        self.installs = tree.facts(INSTALLS)
        self.imported = tree.facts(EXTERNAL_IMPORTS)
        self.python_files = sorted({*tree.paths, *tree.unparsed})
        self.files_by_name = _files_by_import_name(self.python_files)
        self.included_by: dict[str, list[str]] = {}
        self.includes: dict[str, list[str]] = {}

    def find(self) -> tuple[RequirementList, ...]:
        dockerfiles = {
            path: installs for path, installs in self.installs.items() if installs.copies is not None
        }
        contexts = {
            path: find_build_context(self.tree, path, installs) for path, installs in dockerfiles.items()
        }
        image_files = {
            path: self.files_in_image(contexts[path], installs) for path, installs in dockerfiles.items()
        }
        for path, installs in self.installs.items():
            for name in installs.requirements.includes:
                targets = self.resolve_include(path, contexts.get(path), installs, name)
                self.includes.setdefault(path, []).extend(targets)
                for target in targets:
                    self.included_by.setdefault(target, []).append(path)
        files: dict[str, frozenset[str]] = {}
        for path in self.installs:
            self.covered_files(path, image_files, files, ())
        return tuple(
            RequirementList(
                path,
                installs.requirements,
                files[path],
                self.all_includes(path),
                path in dockerfiles,
                installs.has_plain_base and image_files.get(path) != frozenset(self.python_files),
            )
            for path, installs in self.installs.items()
        )

    def all_includes(self, path: str) -> tuple[str, ...]:
        found: dict[str, None] = {}
        pending = list(self.includes.get(path, ()))
        while pending:
            target = pending.pop()
            if target not in found and target in self.installs:
                found[target] = None
                pending += self.includes.get(target, ())
        return tuple(found)

    def resolve_include(self, path: str, context: str | None, installs: FileInstalls, name: str) -> list[str]:
        """Return the files of the tree that an include means."""
        if name == ".":
            directory = posixpath.dirname(path) if context is None else context
            return [join_context(directory, item) for item in ("pyproject.toml", "setup.py", "setup.cfg")]
        if context is None:
            return [posixpath.normpath(posixpath.join(posixpath.dirname(path), name))]
        base = posixpath.basename(name)
        found: list[str] = []
        for copy in installs.copies or ():
            for source in copy.sources:
                named = posixpath.basename(source) == base
                renamed = len(copy.sources) == 1 and posixpath.basename(copy.target) == base
                if named or renamed:
                    found.append(join_context(context, source))
        # With the whole context copied, the file keeps its path.
        return found or [join_context(context, name)]

    def covered_files(
        self,
        path: str,
        image_files: Mapping[str, frozenset[str]],
        files: dict[str, frozenset[str]],
        visiting: tuple[str, ...],
    ) -> frozenset[str]:
        if path in files:
            return files[path]
        if path in visiting or path not in self.installs:
            return frozenset()
        if path in image_files:
            found = image_files[path]
        else:
            users = [
                self.covered_files(user, image_files, files, (*visiting, path))
                for user in self.included_by.get(path, ())
            ]
            found = frozenset().union(*users) if users else self.nearest_users(path)
        if not visiting:
            files[path] = found
        return found

    def nearest_users(self, path: str) -> frozenset[str]:
        """Return the files of the nearest parent directory that uses a third of a list, and their imports."""
        names = [item.name for item in self.installs[path].requirements.packages]
        directory = posixpath.dirname(path)
        while directory:
            inside = [item for item in self.python_files if item.startswith(f"{directory}/")]
            found = self.import_closure(inside)
            imported_tops, _ = find_imported_modules(self.imported, found)
            used = find_providers(names, imported_tops)
            if inside and sum(name in used for name in names) * _MIN_SHARE_DIVISOR >= len(names):
                return found
            directory = posixpath.dirname(directory)
        return frozenset(self.python_files)

    def files_in_image(self, context: str, installs: FileInstalls) -> frozenset[str]:
        """Return the files that an image contains; all files if unknown."""
        sources = [source for copied in installs.copies or () for source in copied.sources]
        if not sources or any("$" in source for source in sources):
            return frozenset(self.python_files)
        found: set[str] = set()
        for source in sources:
            found.update(files_within(self.python_files, join_context(context, source)))
        return frozenset(found) or frozenset(self.python_files)

    def import_closure(self, paths: Iterable[str]) -> frozenset[str]:
        """Return files with those that they import from the tree, transitively."""
        found: set[str] = set()
        pending = list(paths)
        while pending:
            path = pending.pop()
            if path in found:
                continue
            found.add(path)
            imported = self.imported.get(path)
            for item in imported.packages if imported is not None else ():
                pending += [path for path in self.files_by_name.get(item.top_module, ()) if path not in found]
        return frozenset(found)


def local_top_modules(tree: SourceTree) -> frozenset[str]:
    """Return the names of modules and packages anywhere in the tree: an import of one may mean it."""
    return frozenset(_files_by_import_name({*tree.paths, *tree.unparsed}))


def _files_by_import_name(paths: Iterable[str]) -> dict[str, list[str]]:
    """Return the files by each name that an import may use: their own, or a parent directory's."""
    found: dict[str, list[str]] = {}
    for path in paths:
        parts = path.removesuffix(".py").split("/")
        for part in set(parts[:-1] if parts[-1] == "__init__" else parts):
            found.setdefault(part, []).append(path)
    return found


def find_build_context(tree: SourceTree, path: str, installs: FileInstalls) -> str:
    """Return the build context of a Dockerfile: the nearest directory that has most of its sources."""
    sources = [source for copied in installs.copies or () for source in copied.sources if "$" not in source]
    best_directory, best_count = posixpath.dirname(path), -1
    directory = best_directory
    while True:
        count = sum(
            tree.has_path(join_context(directory, source)) for source in sources if source.strip("./")
        )
        if count > best_count:
            best_directory, best_count = directory, count
        if not directory:
            # Without sources of its own, the build context is the root of the tree.
            return best_directory if best_count > 0 else ""
        directory = posixpath.dirname(directory)


def join_context(context: str, source: str) -> str:
    """Return a path in a build context, relative to the root; empty for the root itself."""
    normalized = posixpath.normpath(posixpath.join(context or ".", source.lstrip("/") or "."))
    return "" if normalized == "." else normalized


def files_within(paths: Collection[str], location: str) -> list[str]:
    """Return the files at a location: in a directory, a file itself, or those that match a glob."""
    if any(char in location for char in "*?["):
        return [
            path
            for path in paths
            if fnmatch.fnmatchcase(path, location) or fnmatch.fnmatchcase(path, location + "/*")
        ]
    return [path for path in paths if not location or path == location or path.startswith(f"{location}/")]


def find_imported_modules(
    imported: Mapping[str, ExternalImports], files: Iterable[str]
) -> tuple[set[str], set[str]]:
    """Return the modules that some files import, and those that their strings name."""
    top_modules: set[str] = set()
    modules_in_text: set[str] = set()
    for path in files:
        file_imports = imported.get(path)
        if file_imports is not None:
            top_modules.update(item.top_module for item in file_imports.packages)
            modules_in_text.update(file_imports.packages_in_text)
    return top_modules, modules_in_text
