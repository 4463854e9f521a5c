"""Which files a tree has, and what the file system says of each; nothing is opened."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import stat
from collections.abc import Iterable

import msgspec

# Folders that no audit enters.
LEFT_OUT = frozenset({".git", ".argosy"})
# What an import may find in a folder beside sources and folders.
_MODULES = (".py", ".so", ".pyd", ".pyc")


class Stamp(msgspec.Struct, frozen=True, array_like=True):
    """What tells that a file is as it was, without opening it."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class Snapshot(msgspec.Struct, frozen=True):
    """A tree at one moment.

    stamps: the files, by path relative to the root, with `/`. entries: what each folder holds that an
    import may lead to, name to is-a-folder; links are followed for this, and never walked.
    unreadable: folders that could not be listed, and why. environments: virtual environments
    within, by path: their files are none of the tree's own.
    """

    stamps: dict[str, Stamp]
    entries: dict[str, dict[str, bool]]
    unreadable: dict[str, str]
    environments: tuple[str, ...]


def take_snapshot(root: str, names: Iterable[str] = (), exclude: Iterable[str] = ()) -> Snapshot:
    """Return what lies below `root`: `*.py`, and other files that fit one of the globs `names`.

    exclude: globs; one with a `/` is held against the whole relative path, one without against every
    part of it. Links are not followed, so a circle of them is no matter. Never raises: what goes while
    it is looked at was not there.
    """
    walk = _Walk(Names(names), _excluder(exclude))
    todo = [(root, "")]
    while todo:
        todo += walk.folder(*todo.pop())
    return Snapshot(walk.stamps, walk.entries, walk.unreadable, tuple(sorted(walk.environments)))


class _Walk:
    def __init__(self, names: Names, excluder: re.Pattern[str] | None) -> None:
        self.names = names
        self.excluder = excluder
        self.stamps: dict[str, Stamp] = {}
        self.entries: dict[str, dict[str, bool]] = {}
        self.unreadable: dict[str, str] = {}
        self.environments: list[str] = []

    def folder(self, folder: str, path: str) -> list[tuple[str, str]]:
        """Read one folder, and return those within it."""
        try:
            with os.scandir(folder) as listing:
                found = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            if path in self.unreadable or error.errno is None:
                return []
            self.unreadable[path or "."] = (error.strerror or str(error)).lower()
            return []
        held: dict[str, bool] = {}
        inner: list[tuple[str, str]] = []
        for entry in found:
            if not _is_text(entry.name):
                shown = os.fsencode(entry.path).decode("utf-8", "backslashreplace")
                self.unreadable[shown] = "the name is not UTF-8"
                continue
            below = f"{path}/{entry.name}" if path else entry.name
            try:
                if entry.is_dir():
                    held[entry.name] = True
                    if not (entry.is_symlink() or entry.name in LEFT_OUT or self.is_excluded(below)):
                        inner.append((entry.path, below))
                else:
                    self.file(entry, below, held)
            except OSError:
                continue  # gone meanwhile, or a link to itself
        self.entries[path] = held
        if "pyvenv.cfg" in {entry.name for entry in found}:
            self.environments.append(path)
        return inner

    def file(self, entry: os.DirEntry[str], path: str, held: dict[str, bool]) -> None:
        name = entry.name
        if name.endswith(_MODULES):
            held[name] = False
        is_wanted = name.endswith(".py") or self.names.fit(path, name)
        if not is_wanted or entry.is_symlink() or self.is_excluded(path):
            return
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(status.st_mode):
            self.stamps[path] = Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)

    def is_excluded(self, path: str) -> bool:
        return self.excluder is not None and self.excluder.match(path) is not None


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_there(root: str, path: str) -> bool:
    """Return whether there is a file or folder at `path`, relative to `root`, or one that fits."""
    if any(char in path for char in "*?["):
        return next(glob.iglob(path, root_dir=root), None) is not None
    return os.path.exists(os.path.join(root, path))


class Names:
    """Globs of files: one without a `/` is held against the name, one with against the end of the path."""

    def __init__(self, globs: Iterable[str]) -> None:
        whole = sorted(set(globs))
        # To make one pattern of them all takes longer than to use it: few need one.
        stars = [item for item in whole if "?" not in item and "[" not in item]
        left = [item for item in whole if item not in stars]
        self._names = [item.split("*") for item in stars if "/" not in item]
        self._ends = [f"*/{item}".split("*") for item in stars if "/" in item]
        self._name = _union(fnmatch.translate(item) for item in left if "/" not in item)
        self._path = _union(f"(?:.*/)?{fnmatch.translate(item)}" for item in left if "/" in item)

    def fit(self, path: str, name: str) -> bool:
        """Return whether a file fits one of the globs. name: the last part of `path`."""
        if any(_has_parts(name, parts) for parts in self._names):
            return True
        if any(_has_parts(f"/{path}", parts) for parts in self._ends):
            return True
        pairs = ((self._name, name), (self._path, path))
        return any(pattern is not None and pattern.match(text) for pattern, text in pairs)


def _has_parts(text: str, parts: list[str]) -> bool:
    """Return whether a text fits a glob of stars, given as what is between them."""
    first, last = parts[0], parts[-1]
    if not text.endswith(last) or not text.startswith(first):
        return False
    if len(parts) == 1:
        return text == first
    at, end = len(first), len(text) - len(last)
    for part in parts[1:-1]:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return at <= end


def _union(patterns: Iterable[str]) -> re.Pattern[str] | None:
    whole = "|".join(patterns)
    return re.compile(whole) if whole else None


def _excluder(globs: Iterable[str]) -> re.Pattern[str] | None:
    parts: list[str] = []
    for item in globs:
        word = item.strip("/").removeprefix("./")
        if not word:
            continue
        inner = fnmatch.translate(word).removesuffix("\\Z").removesuffix("\\z")
        parts.append(f"{inner}(?:/.*)?\\Z" if "/" in word else f"(?:.*/)?{inner}(?:/.*)?\\Z")
    return re.compile("|".join(parts)) if parts else None
