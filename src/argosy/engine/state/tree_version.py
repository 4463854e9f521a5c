"""The version of a machine's tree: a hash of its content, recorded by `argosy sync`."""

from __future__ import annotations

import hashlib
import os
import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import msgspec

from argosy.atomic_file import write_atomic
from argosy.source.git_tree import tree_files

VERSION_FILE: Final = ".argosy/version.json"
_LOCK_FILES: Final = frozenset({"uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pylock.toml"})
_LOCK_GLOBS: Final = ("requirements*.txt", "images.*.lock")
_DIGEST_LENGTH: Final = 12  # characters of a digest


class TreeVersion(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a tree.

    tree, lock: digests of all files, and of the lock files. at_s: when it was recorded, epoch seconds.
    files: relative paths, sorted.
    """

    tree: str
    lock: str
    at_s: float
    files: tuple[str, ...] = ()


def compute_tree_version(root: Path) -> TreeVersion:
    """Return the current version of the tree at `root`."""
    files = tuple(tree_files(root))
    return TreeVersion(
        tree=_digest(root, files),
        lock=_digest(root, tuple(filter(is_lock_file, files))),
        at_s=time.time(),
        files=files,
    )


def is_lock_file(path: str) -> bool:
    """Return whether a file lists the packages to install."""
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
    """Return the version that is recorded in a tree, None if there is none."""
    try:
        return decode_tree_version((root / VERSION_FILE).read_bytes())
    except OSError:
        return None


def decode_tree_version(data: bytes) -> TreeVersion | None:
    """Decode a recorded version, None if it is invalid."""
    try:
        return msgspec.json.decode(data, type=TreeVersion)
    except msgspec.DecodeError:
        return None


def write_tree_version(root: Path, version: TreeVersion) -> None:
    """Record the version of a tree in it.

    Raises OSError: it cannot be written.
    """
    version_file = root / VERSION_FILE
    version_file.parent.mkdir(exist_ok=True)
    write_atomic(version_file, msgspec.json.encode(version))


class RecordedVersion:
    """The version that is recorded in a tree, read again when its file has changed."""

    def __init__(self, root: Path) -> None:
        self._root, self._version_file = root, str(root / VERSION_FILE)
        self._file_state: tuple[int, int] | None = None
        self._tree = ""

    def current_digest(self) -> str:
        """Return the tree's digest, empty if none is recorded."""
        try:
            stat = os.stat(self._version_file)
        except OSError:
            return ""
        seen = (stat.st_ino, stat.st_mtime_ns)
        if seen != self._file_state:
            found = read_tree_version(self._root)
            self._file_state, self._tree = seen, found.tree if found else ""
        return self._tree
