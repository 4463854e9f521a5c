"""Finds the files of a tree and their metadata; opens no file."""

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
# What an import may find in a folder besides sources and folders.
_IMPORTABLE_SUFFIXES = (".py", ".so", ".pyd", ".pyc")


class FileStat(msgspec.Struct, frozen=True, array_like=True):
    """Metadata that shows without opening a file whether it has changed."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class TreeSnapshot(msgspec.Struct, frozen=True):
    """The files of a tree at one moment.

    file_stats: by path relative to the root, with `/`. directory_entries: the importable entries of each
    folder, name to is-a-folder; links count, but are not followed. unreadable: folders that could not be
    listed, and why. virtual_environments: paths of virtual environments in the tree, whose files are not the
    project's own.
    """

    file_stats: dict[str, FileStat]
    directory_entries: dict[str, dict[str, bool]]
    unreadable: dict[str, str]
    virtual_environments: tuple[str, ...]


def scan_tree(root: str, patterns: Iterable[str] = (), exclude: Iterable[str] = ()) -> TreeSnapshot:
    """Return the files below `root`: `*.py`, and other files that match one of the globs `patterns`.

    exclude: globs; one with a `/` is matched against the whole relative path, one without against each part
    of it. Links are not followed, so cycles do no harm. Never raises: files that disappear during the scan
    are left out.
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
        """Scan one folder, and return its subfolders."""
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
                continue  # deleted meanwhile, or a link to itself
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
    """Return whether a file or folder exists at `path`, relative to `root`, or matches it as a glob."""
    if any(char in path for char in "*?["):
        return next(glob.iglob(path, root_dir=root), None) is not None
    return os.path.exists(os.path.join(root, path))


class FilePatterns:
    """Globs of files: one without a `/` is matched against the name, others against the end of the path."""

    def __init__(self, globs: Iterable[str]) -> None:
        unique = sorted(set(globs))
        # Compiling a pattern costs more than it saves, and few globs need one.
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
        """Return whether a file matches one of the globs. name: the last part of `path`."""
        if any(_is_star_match(name, parts) for parts in self._name_parts):
            return True
        if any(_is_star_match(f"/{path}", parts) for parts in self._path_parts):
            return True
        pairs = ((self._name_pattern, name), (self._path_pattern, path))
        return any(pattern is not None and pattern.match(text) for pattern, text in pairs)


def _is_star_match(text: str, parts: list[str]) -> bool:
    """Return whether a text matches a glob that has only stars, given as the parts between them."""
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
