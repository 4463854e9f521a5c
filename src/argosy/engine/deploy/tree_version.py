"""Which version of the tree a machine has: a hash of its content, noted by `argosy sync`."""

from __future__ import annotations

import hashlib
import os
import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import msgspec

from argosy.source.git_tree import tree_files

VERSION_FILE: Final = ".argosy/version.json"
_LOCK_FILES: Final = frozenset({"uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pylock.toml"})
_LOCK_GLOBS: Final = ("requirements*.txt", "images.*.lock")
_DIGEST_LENGTH: Final = 12  # characters of a digest


class TreeVersion(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a tree. tree, lock: digests of all files, and of those that lock packages.

    at_s: when it was noted, epoch seconds. files: their paths, relative and sorted.
    """

    tree: str
    lock: str
    at_s: float
    files: tuple[str, ...] = ()


def compute_tree_version(root: Path) -> TreeVersion:
    """Return the version of the tree at `root`, as it is now."""
    files = tuple(tree_files(root))
    return TreeVersion(
        tree=_digest(root, files),
        lock=_digest(root, tuple(filter(is_lock_file, files))),
        at_s=time.time(),
        files=files,
    )


def is_lock_file(path: str) -> bool:
    """Return whether a file says which packages are installed."""
    name = os.path.basename(path)
    return name in _LOCK_FILES or any(fnmatchcase(name, glob) for glob in _LOCK_GLOBS)


def _digest(root: Path, files: tuple[str, ...]) -> str:
    whole = hashlib.sha256()
    for path in files:
        full = root / path
        if os.path.islink(full):
            kind, content = b"l", os.fsencode(os.readlink(full))
        elif full.is_file():
            kind = b"x" if os.access(full, os.X_OK) else b"f"
            content = full.read_bytes()
        else:
            continue
        whole.update(b"%b\0%b\0%b\n" % (kind, os.fsencode(path), hashlib.sha256(content).digest()))
    return whole.hexdigest()[:_DIGEST_LENGTH]


def read_tree_version(root: Path) -> TreeVersion | None:
    """Return the version that is noted in a tree, None where none is."""
    try:
        return decode_tree_version((root / VERSION_FILE).read_bytes())
    except OSError:
        return None


def decode_tree_version(data: bytes) -> TreeVersion | None:
    """Return a noted version, None for what is none."""
    try:
        return msgspec.json.decode(data, type=TreeVersion)
    except msgspec.DecodeError:
        return None


def write_tree_version(root: Path, version: TreeVersion) -> None:
    """Note which version the tree is.

    Raises OSError: it cannot be written.
    """
    note = root / VERSION_FILE
    note.parent.mkdir(exist_ok=True)
    temp_path = note.with_suffix(".new")
    temp_path.write_bytes(msgspec.json.encode(version))
    os.replace(temp_path, note)


class RecordedVersion:
    """The version that is noted in a tree, read again when its note has changed."""

    def __init__(self, root: Path) -> None:
        self._root, self._version_file = root, str(root / VERSION_FILE)
        self._file_state: tuple[int, int] | None = None
        self._tree = ""

    def current_digest(self) -> str:
        """Return the tree's digest, empty where none is noted."""
        try:
            stat = os.stat(self._version_file)
        except OSError:
            return ""
        seen = (stat.st_ino, stat.st_mtime_ns)
        if seen != self._file_state:
            found = read_tree_version(self._root)
            self._file_state, self._tree = seen, found.tree if found else ""
        return self._tree
