"""Fingerprints of a tree's sources over time, to detect changed code by content instead of by date.

A fingerprint states that a file had this content from `since_s` (its last change, ctime) to `seen_s` (when
it was read). The client takes one of every source after it has started agents. A file is changed for an
agent if it differs from the fingerprint that covers the agent's start. Without such a fingerprint, a file
that was not written since is unchanged, and any other counts as changed: stale code is worse than a restart.

Kept in the state directory; a full disk costs the fingerprints, never a start.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from argosy.atomic_file import write_atomic
from argosy.fleet.fleet_spec import AgentSpec

# Contents kept per file; for agents that started before the oldest, the file counts as changed.
_MAX_FINGERPRINTS = 8
_SKIPPED_DIRS = frozenset({"__pycache__", "node_modules"})


class FileFingerprint(msgspec.Struct, frozen=True):
    """A file's content during a period, in epoch seconds."""

    digest: str
    since_s: float
    seen_s: float

    def covers(self, at_s: float) -> bool:
        """Return whether the file is known to have had this content at `at_s`."""
        return self.since_s <= at_s <= self.seen_s


class SourceSnapshot(msgspec.Struct, frozen=True):
    """Fingerprints of files by absolute path, oldest first."""

    version: int = 1
    files: dict[str, tuple[FileFingerprint, ...]] = {}

    def fingerprint_at(self, path: str, at_s: float) -> FileFingerprint | None:
        """Return the fingerprint of a file that covers `at_s`, or None."""
        return next((each for each in self.files.get(path, ()) if each.covers(at_s)), None)


def read_source_snapshot(path: Path) -> SourceSnapshot:
    """Return the snapshot at `path`; an empty one if it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=SourceSnapshot)
    except (OSError, msgspec.DecodeError):
        return SourceSnapshot()


def update_source_snapshot(path: Path, root: str, extra_files: Iterable[str] = ()) -> bool:
    """Add a fingerprint of each source below `root`, of `extra_files`, and of all files already known.

    Returns whether the snapshot was written.
    """
    previous = read_source_snapshot(path)
    files: Mapping[str, tuple[FileFingerprint, ...]] = {
        **previous.files,
        **{
            name: _append_fingerprint(previous.files.get(name, ()), taken)
            for name in dict.fromkeys([*iter_sources(root), *extra_files, *previous.files])
            if (taken := fingerprint_file(name)) is not None
        },
    }
    try:
        write_atomic(path, msgspec.json.encode(SourceSnapshot(files=dict(files))))
    except OSError:
        return False
    return True


def fingerprint_file(path: str) -> FileFingerprint | None:
    """Return the current fingerprint of a file; None if it cannot be read or is written meanwhile."""
    try:
        with open(path, "rb") as file:
            before = os.fstat(file.fileno())
            digest = hashlib.blake2b(file.read(), digest_size=16).hexdigest()
            seen_s = time.time()
            after = os.stat(path)
    except OSError:
        return None
    if (before.st_ino, before.st_ctime_ns) != (after.st_ino, after.st_ctime_ns):
        return None
    return FileFingerprint(digest, after.st_ctime_ns / 1e9, seen_s)


def iter_sources(root: str) -> Iterator[str]:
    """Yield the `*.py` files below `root`, without hidden directories, caches and virtual environments."""
    for directory, subdirectories, names in os.walk(root):
        if "pyvenv.cfg" in names:
            subdirectories.clear()
            continue
        subdirectories[:] = [
            name for name in subdirectories if name not in _SKIPPED_DIRS and not name.startswith(".")
        ]
        yield from (os.path.join(directory, name) for name in names if name.endswith(".py"))


def list_entry_files(agent: AgentSpec, root: str) -> tuple[str, ...]:
    """Return the script of an agent, or the files that its command names; none for a class."""
    if agent.kind == "script":
        return (os.path.normpath(os.path.join(root, str(agent.run))),)
    if agent.kind == "class":
        return ()
    cwd = os.path.join(root, agent.cwd or "")
    paths = [os.path.normpath(os.path.join(cwd, argument)) for argument in agent.run if argument]
    return tuple(path for path in paths if os.path.isfile(path) and path.startswith(root + os.sep))


def _append_fingerprint(
    fingerprints: tuple[FileFingerprint, ...], fingerprint: FileFingerprint
) -> tuple[FileFingerprint, ...]:
    """Append a fingerprint; one of the same content and ctime replaces the last."""
    if fingerprints and (fingerprints[-1].digest, fingerprints[-1].since_s) == (
        fingerprint.digest,
        fingerprint.since_s,
    ):
        fingerprints = fingerprints[:-1]
    return (*fingerprints, fingerprint)[-_MAX_FINGERPRINTS:]
