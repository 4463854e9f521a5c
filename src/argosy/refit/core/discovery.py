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
SKIPPED_DIRECTORIES = frozenset({".git", ".argosy"})
# What an import may find in a folder beside sources and folders.
_IMPORTABLE_SUFFIXES = (".py", ".so", ".pyd", ".pyc")


class FileStat(msgspec.Struct, frozen=True, array_like=True):
    """What tells that a file is as it was, without opening it."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class TreeSnapshot(msgspec.Struct, frozen=True):
    """A tree at one moment.

    stamps: the files, by path relative to the root, with `/`. entries: what each folder holds that an
    import may lead to, name to is-a-folder; links are followed for this, and never walked.
    unreadable: folders that could not be listed, and why. environments: virtual environments
    within, by path: their files are none of the tree's own.
    """

    file_stats: dict[str, FileStat]
    directory_entries: dict[str, dict[str, bool]]
    unreadable: dict[str, str]
    virtual_environments: tuple[str, ...]


def scan_tree(root: str, patterns: Iterable[str] = (), exclude: Iterable[str] = ()) -> TreeSnapshot:
    """Return what lies below `root`: `*.py`, and other files that fit one of the globs `names`.

    exclude: globs; one with a `/` is held against the whole relative path, one without against every
    part of it. Links are not followed, so a circle of them is no matter. Never raises: what goes while
    it is looked at was not there.
    """
    scanner = _TreeScanner(FilePatterns(patterns), _build_exclusion(exclude))
    pending = [(root, "")]
    while pending:
        pending += scanner.scan_directory(*pending.pop())
    return TreeSnapshot(
        scanner.file_stats,
        scanner.directory_entries,
        scanner.unreadable,
        tuple(sorted(scanner.virtual_environments)),
    )


class _TreeScanner:
    def __init__(self, patterns: FilePatterns, exclusion: re.Pattern[str] | None) -> None:
        self.patterns = patterns
        self.exclusion = exclusion
        self.file_stats: dict[str, FileStat] = {}
        self.directory_entries: dict[str, dict[str, bool]] = {}
        self.unreadable: dict[str, str] = {}
        self.virtual_environments: list[str] = []

    def scan_directory(self, directory: str, path: str) -> list[tuple[str, str]]:
        """Read one folder, and return those within it."""
        try:
            with os.scandir(directory) as listing:
                found = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            if path in self.unreadable or error.errno is None:
                return []
            self.unreadable[path or "."] = (error.strerror or str(error)).lower()
            return []
        importable: dict[str, bool] = {}
        inner: list[tuple[str, str]] = []
        for entry in found:
            if not _is_utf8(entry.name):
                display_path = os.fsencode(entry.path).decode("utf-8", "backslashreplace")
                self.unreadable[display_path] = "the name is not UTF-8"
                continue
            inner_path = f"{path}/{entry.name}" if path else entry.name
            try:
                if entry.is_dir():
                    importable[entry.name] = True
                    if not (
                        entry.is_symlink()
                        or entry.name in SKIPPED_DIRECTORIES
                        or self.is_excluded(inner_path)
                    ):
                        inner.append((entry.path, inner_path))
                else:
                    self.add_file(entry, inner_path, importable)
            except OSError:
                continue  # gone meanwhile, or a link to itself
        self.directory_entries[path] = importable
        if "pyvenv.cfg" in {entry.name for entry in found}:
            self.virtual_environments.append(path)
        return inner

    def add_file(self, entry: os.DirEntry[str], path: str, importable: dict[str, bool]) -> None:
        name = entry.name
        if name.endswith(_IMPORTABLE_SUFFIXES):
            importable[name] = False
        is_wanted = name.endswith(".py") or self.patterns.is_match(path, name)
        if not is_wanted or entry.is_symlink() or self.is_excluded(path):
            return
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(status.st_mode):
            self.file_stats[path] = FileStat(
                status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
            )

    def is_excluded(self, path: str) -> bool:
        return self.exclusion is not None and self.exclusion.match(path) is not None


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def has_path(root: str, path: str) -> bool:
    """Return whether there is a file or folder at `path`, relative to `root`, or one that fits."""
    if any(char in path for char in "*?["):
        return next(glob.iglob(path, root_dir=root), None) is not None
    return os.path.exists(os.path.join(root, path))


class FilePatterns:
    """Globs of files: one without a `/` is held against the name, one with against the end of the path."""

    def __init__(self, globs: Iterable[str]) -> None:
        unique = sorted(set(globs))
        # To make one pattern of them all takes longer than to use it: few need one.
        star_globs = [item for item in unique if "?" not in item and "[" not in item]
        other_globs = [item for item in unique if item not in star_globs]
        self._name_parts = [item.split("*") for item in star_globs if "/" not in item]
        self._path_parts = [f"*/{item}".split("*") for item in star_globs if "/" in item]
        self._name_pattern = _combine_patterns(
            fnmatch.translate(item) for item in other_globs if "/" not in item
        )
        self._path_pattern = _combine_patterns(
            f"(?:.*/)?{fnmatch.translate(item)}" for item in other_globs if "/" in item
        )

    def is_match(self, path: str, name: str) -> bool:
        """Return whether a file fits one of the globs. name: the last part of `path`."""
        if any(_is_star_match(name, parts) for parts in self._name_parts):
            return True
        if any(_is_star_match(f"/{path}", parts) for parts in self._path_parts):
            return True
        pairs = ((self._name_pattern, name), (self._path_pattern, path))
        return any(pattern is not None and pattern.match(text) for pattern, text in pairs)


def _is_star_match(text: str, parts: list[str]) -> bool:
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


def _combine_patterns(patterns: Iterable[str]) -> re.Pattern[str] | None:
    whole = "|".join(patterns)
    return re.compile(whole) if whole else None


def _build_exclusion(globs: Iterable[str]) -> re.Pattern[str] | None:
    parts: list[str] = []
    for item in globs:
        glob = item.strip("/").removeprefix("./")
        if not glob:
            continue
        inner = fnmatch.translate(glob).removesuffix("\\Z").removesuffix("\\z")
        parts.append(f"{inner}(?:/.*)?\\Z" if "/" in glob else f"(?:.*/)?{inner}(?:/.*)?\\Z")
    return re.compile("|".join(parts)) if parts else None
