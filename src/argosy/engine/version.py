"""Which version of the tree a machine has: a hash of its content, noted by `argosy sync`."""

from __future__ import annotations

import hashlib
import os
import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import msgspec

from argosy.source.git import tree_files

NOTE: Final = ".argosy/version.json"
_LOCKS: Final = frozenset({"uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pylock.toml"})
_LOCK_GLOBS: Final = ("requirements*.txt", "images.*.lock")
_SHOWN: Final = 12  # characters of a digest


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a tree. tree, lock: digests of all files, and of those that lock packages.

    at_s: when it was noted, epoch seconds. files: their paths, relative and sorted.
    """

    tree: str
    lock: str
    at_s: float
    files: tuple[str, ...] = ()


def version_of(root: Path) -> Version:
    """Return the version of the tree at `root`, as it is now."""
    files = tuple(tree_files(root))
    return Version(
        tree=_digest(root, files),
        lock=_digest(root, tuple(filter(is_lock, files))),
        at_s=time.time(),
        files=files,
    )


def is_lock(path: str) -> bool:
    """Return whether a file says which packages are installed."""
    name = os.path.basename(path)
    return name in _LOCKS or any(fnmatchcase(name, glob) for glob in _LOCK_GLOBS)


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
    return whole.hexdigest()[:_SHOWN]


def read_note(root: Path) -> Version | None:
    """Return the version that is noted in a tree, None where none is."""
    try:
        return decode_note((root / NOTE).read_bytes())
    except OSError:
        return None


def decode_note(data: bytes) -> Version | None:
    """Return a noted version, None for what is none."""
    try:
        return msgspec.json.decode(data, type=Version)
    except msgspec.DecodeError:
        return None


def write_note(root: Path, version: Version) -> None:
    """Note which version the tree is.

    Raises OSError: it cannot be written.
    """
    note = root / NOTE
    note.parent.mkdir(exist_ok=True)
    beside = note.with_suffix(".new")
    beside.write_bytes(msgspec.json.encode(version))
    os.replace(beside, note)


class NotedVersion:
    """The version that is noted in a tree, read again when its note has changed."""

    def __init__(self, root: Path) -> None:
        self._root, self._note = root, str(root / NOTE)
        self._seen: tuple[int, int] | None = None
        self._tree = ""

    def now(self) -> str:
        """Return the tree's digest, empty where none is noted."""
        try:
            stat = os.stat(self._note)
        except OSError:
            return ""
        seen = (stat.st_ino, stat.st_mtime_ns)
        if seen != self._seen:
            found = read_note(self._root)
            self._seen, self._tree = seen, found.tree if found else ""
        return self._tree
