"""What the sources of a tree were, and when: so that a change of code is told by content, not by date.

A print says: from `since_s` (the file's last change, ctime) to `seen_s` (when it was read) the file had
this content. The client takes one of every source after it has started agents. A file is changed for
an agent when it differs from the print that covers the agent's start. Where none does, a file that
was not written since is unchanged, and any other counts as changed: stale code is worse than a restart.

Kept in the state folder; a full disk costs the prints, never a start.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from argosy.fleet.fleet_spec import AgentSpec

# So many contents of one file are told apart; agents that started before the oldest count as changed.
_MAX_FINGERPRINTS = 8
_SKIPPED_DIRS = frozenset({"__pycache__", "node_modules"})


class FileFingerprint(msgspec.Struct, frozen=True):
    """A file's content within a time; epoch seconds."""

    digest: str
    since_s: float
    seen_s: float

    def covers(self, at_s: float) -> bool:
        """Return whether the file is known to have had this content then."""
        return self.since_s <= at_s <= self.seen_s


class SourceSnapshot(msgspec.Struct, frozen=True):
    """Prints of files by absolute path, oldest first."""

    version: int = 1
    files: dict[str, tuple[FileFingerprint, ...]] = {}

    def fingerprint_at(self, path: str, at_s: float) -> FileFingerprint | None:
        """Return the print of a file that covers a time, or None when it is not known."""
        return next((each for each in self.files.get(path, ()) if each.covers(at_s)), None)


def read_source_snapshot(path: Path) -> SourceSnapshot:
    """Return the imprint at `path`; an empty one when there is none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=SourceSnapshot)
    except (OSError, msgspec.DecodeError):
        return SourceSnapshot()


def update_source_snapshot(path: Path, root: str, extra_files: Iterable[str] = ()) -> bool:
    """Add a print of each source below `root`, of the files `more`, and of all that have one already.

    Returns whether it was written.
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
    temp_path = path.with_suffix(".new")
    try:
        temp_path.write_bytes(msgspec.json.encode(SourceSnapshot(files=dict(files))))
        os.replace(temp_path, path)
    except OSError:
        with contextlib.suppress(OSError):
            temp_path.unlink(missing_ok=True)
        return False
    return True


def fingerprint_file(path: str) -> FileFingerprint | None:
    """Return the print of a file now; None when it cannot be read, or is written meanwhile."""
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
    """Yield the `*.py` below a folder; hidden folders, caches and virtual environments are passed over."""
    for directory, subdirectories, names in os.walk(root):
        if "pyvenv.cfg" in names:
            subdirectories.clear()
            continue
        subdirectories[:] = [
            name for name in subdirectories if name not in _SKIPPED_DIRS and not name.startswith(".")
        ]
        yield from (os.path.join(directory, name) for name in names if name.endswith(".py"))


def list_entry_files(agent: AgentSpec, root: str) -> tuple[str, ...]:
    """Return the script of an agent, or the files that its command names; a class has none here."""
    if agent.kind == "script":
        return (os.path.normpath(os.path.join(root, str(agent.run))),)
    if agent.kind == "class":
        return ()
    cwd = os.path.join(root, agent.cwd or "")
    arguments = [os.path.normpath(os.path.join(cwd, word)) for word in agent.run if word]
    return tuple(word for word in arguments if os.path.isfile(word) and word.startswith(root + os.sep))


def _append_fingerprint(
    fingerprints: tuple[FileFingerprint, ...], fingerprint: FileFingerprint
) -> tuple[FileFingerprint, ...]:
    """Return the prints with a new one; one of the same writing only grows longer."""
    if fingerprints and (fingerprints[-1].digest, fingerprints[-1].since_s) == (
        fingerprint.digest,
        fingerprint.since_s,
    ):
        fingerprints = fingerprints[:-1]
    return (*fingerprints, fingerprint)[-_MAX_FINGERPRINTS:]
