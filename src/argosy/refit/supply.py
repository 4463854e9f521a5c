"""Which files of a tree each list of requirements is for.

A requirements file that a Dockerfile installs is for what that image holds. Any other is for the nearest
folder, its own or one above, whose files use a third of it, with what these import of the tree; else for the
whole tree. What cannot be told makes it larger: then nothing is called unused that may be needed.
"""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Collection, Iterable, Mapping

import msgspec

from argosy.refit.facts.imported import IMPORTED, Imported
from argosy.refit.facts.installs import INSTALLS
from argosy.refit.tree import Tree
from argosy.source.distributions import givers
from argosy.source.installs import Installs
from argosy.source.requirements import Requirements

_SHARE = 3


class Supply(msgspec.Struct, frozen=True):
    """One list of requirements.

    path: of its file. files: Python files that it is for. included: the lists that it names, and theirs.
    is_image: it is a Dockerfile; is_whole: what it installs is all that is in its image, and it takes named
    parts of the tree, not everything.
    """

    path: str
    asked: Requirements
    files: frozenset[str]
    included: tuple[str, ...] = ()
    is_image: bool = False
    is_whole: bool = False


def find_supplies(tree: Tree) -> tuple[Supply, ...]:
    """Return the lists of a tree, in the order of their paths, for `tree.derived`."""
    return _Finder(tree).find()


class _Finder:
    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.installs = tree.facts(INSTALLS)
        self.imported = tree.facts(IMPORTED)
        self.python = sorted({*tree.paths, *tree.unparsed})
        self.homes = _homes(self.python)
        self.users: dict[str, list[str]] = {}
        self.targets: dict[str, list[str]] = {}

    def find(self) -> tuple[Supply, ...]:
        images = {path: held for path, held in self.installs.items() if held.copied is not None}
        contexts = {path: context_of(self.tree, path, held) for path, held in images.items()}
        holds = {path: self.held_by(contexts[path], held) for path, held in images.items()}
        for path, held in self.installs.items():
            for name in held.asked.includes:
                targets = self.included(path, contexts.get(path), held, name)
                self.targets.setdefault(path, []).extend(targets)
                for target in targets:
                    self.users.setdefault(target, []).append(path)
        files: dict[str, frozenset[str]] = {}
        for path in self.installs:
            self.files_of(path, holds, files, ())
        return tuple(
            Supply(
                path,
                held.asked,
                files[path],
                self.all_included(path),
                path in images,
                held.is_plain and holds.get(path) != frozenset(self.python),
            )
            for path, held in self.installs.items()
        )

    def all_included(self, path: str) -> tuple[str, ...]:
        found: dict[str, None] = {}
        todo = list(self.targets.get(path, ()))
        while todo:
            target = todo.pop()
            if target not in found and target in self.installs:
                found[target] = None
                todo += self.targets.get(target, ())
        return tuple(found)

    def included(self, path: str, context: str | None, held: Installs, name: str) -> list[str]:
        """Return the files of the tree that an include means."""
        if name == ".":
            folder = posixpath.dirname(path) if context is None else context
            return [joined(folder, item) for item in ("pyproject.toml", "setup.py", "setup.cfg")]
        if context is None:
            return [posixpath.normpath(posixpath.join(posixpath.dirname(path), name))]
        base = posixpath.basename(name)
        found: list[str] = []
        for copied in held.copied or ():
            for source in copied.sources:
                named = posixpath.basename(source) == base
                renamed = len(copied.sources) == 1 and posixpath.basename(copied.target) == base
                if named or renamed:
                    found.append(joined(context, source))
        # With the whole context copied it lies where it lay.
        return found or [joined(context, name)]

    def files_of(
        self,
        path: str,
        holds: Mapping[str, frozenset[str]],
        files: dict[str, frozenset[str]],
        below: tuple[str, ...],
    ) -> frozenset[str]:
        if path in files:
            return files[path]
        if path in below or path not in self.installs:
            return frozenset()
        if path in holds:
            found = holds[path]
        else:
            users = [self.files_of(user, holds, files, (*below, path)) for user in self.users.get(path, ())]
            found = frozenset().union(*users) if users else self.near(path)
        if not below:
            files[path] = found
        return found

    def near(self, path: str) -> frozenset[str]:
        """Return the files of the nearest folder above a list that uses a third of it, and their closure."""
        names = [item.name for item in self.installs[path].asked.packages]
        folder = posixpath.dirname(path)
        while folder:
            inside = [item for item in self.python if item.startswith(f"{folder}/")]
            found = self.closure(inside)
            taken, _ = imports_of(self.imported, found)
            used = givers(names, taken)
            if inside and sum(name in used for name in names) * _SHARE >= len(names):
                return found
            folder = posixpath.dirname(folder)
        return frozenset(self.python)

    def held_by(self, context: str, held: Installs) -> frozenset[str]:
        """Return the files that an image holds; all of them where that cannot be told."""
        sources = [source for copied in held.copied or () for source in copied.sources]
        if not sources or any("$" in source for source in sources):
            return frozenset(self.python)
        found: set[str] = set()
        for source in sources:
            found.update(within(self.python, joined(context, source)))
        return frozenset(found) or frozenset(self.python)

    def closure(self, paths: Iterable[str]) -> frozenset[str]:
        """Return files with those of the tree's own packages that they import, and so on."""
        found: set[str] = set()
        todo = list(paths)
        while todo:
            path = todo.pop()
            if path in found:
                continue
            found.add(path)
            imported = self.imported.get(path)
            for item in imported.taken if imported is not None else ():
                todo += [home for home in self.homes.get(item.top, ()) if home not in found]
        return frozenset(found)


def local_tops(tree: Tree) -> frozenset[str]:
    """Return the names of modules and packages anywhere in the tree: an import of one may mean it."""
    return frozenset(_homes({*tree.paths, *tree.unparsed}))


def _homes(paths: Iterable[str]) -> dict[str, list[str]]:
    """Return the files by each name that an import may reach them by: their own, or a folder's above."""
    found: dict[str, list[str]] = {}
    for path in paths:
        parts = path.removesuffix(".py").split("/")
        for part in set(parts[:-1] if parts[-1] == "__init__" else parts):
            found.setdefault(part, []).append(path)
    return found


def context_of(tree: Tree, path: str, held: Installs) -> str:
    """Return the folder that a Dockerfile is built from: the nearest that has most of its sources."""
    sources = [source for copied in held.copied or () for source in copied.sources if "$" not in source]
    best, most = posixpath.dirname(path), -1
    folder = best
    while True:
        count = sum(tree.has(joined(folder, source)) for source in sources if source.strip("./"))
        if count > most:
            best, most = folder, count
        if not folder:
            # Without a source of its own name, a context is the root: there its tree is.
            return best if most > 0 else ""
        folder = posixpath.dirname(folder)


def joined(context: str, source: str) -> str:
    """Return a path in a build context, relative to the root; empty for the root itself."""
    whole = posixpath.normpath(posixpath.join(context or ".", source.lstrip("/") or "."))
    return "" if whole == "." else whole


def within(paths: Collection[str], place: str) -> list[str]:
    """Return the files that a place holds: a folder, a file, or what fits a glob."""
    if any(char in place for char in "*?["):
        return [
            path
            for path in paths
            if fnmatch.fnmatchcase(path, place) or fnmatch.fnmatchcase(path, place + "/*")
        ]
    return [path for path in paths if not place or path == place or path.startswith(f"{place}/")]


def imports_of(imported: Mapping[str, Imported], files: Iterable[str]) -> tuple[set[str], set[str]]:
    """Return the modules that some files import, and those that their texts name besides."""
    taken: set[str] = set()
    named: set[str] = set()
    for path in files:
        held = imported.get(path)
        if held is not None:
            taken.update(item.top for item in held.taken)
            named.update(held.named)
    return taken, named
