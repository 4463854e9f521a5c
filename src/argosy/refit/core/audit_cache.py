"""What an audit remembers of a tree between two runs."""

from __future__ import annotations

import contextlib
import os
import sys
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

import argosy
from argosy.refit.core.discovery import TreeSnapshot, has_path
from argosy.refit.core.finding import Finding, RuleFailure
from argosy.refit.core.rule_manifest import FactManifest, RuleManifest
from argosy.source.digest import blake2b
from argosy.source.python_source import Unparsed

T = TypeVar("T")

_MAX_TREES = 32  # trees that are remembered
# The clock of a file system ticks each 4 to 10 ms: what was written within the same tick looks unchanged.
_RACY_WINDOW_NS = 50_000_000


class AuditResult(msgspec.Struct, frozen=True, array_like=True):
    """All that was found in a tree, before anybody selects from it.

    ignored: how many findings comments silence. refused: rules that could not be asked, and why, by code.
    """

    file_count: int
    unparsed: dict[str, Unparsed]
    findings: tuple[Finding, ...]
    ignored_count: int
    failures: tuple[RuleFailure, ...]
    skipped_rules: dict[str, str]


class RuleCatalog(msgspec.Struct, frozen=True, array_like=True):
    """What is to be known of the rules before they are loaded.

    names: globs of the files that they read beside `*.py`. titles: by code. rules: those that can be asked.
    kinds: of the facts that these read of Python files.
    """

    file_patterns: tuple[str, ...]
    titles: dict[str, str]
    rule_manifests: tuple[RuleManifest, ...]
    fact_manifests: tuple[FactManifest, ...]


class CachedAudit(msgspec.Struct, frozen=True, array_like=True):
    """A tree as it was, and the verdict on it.

    twin: of the ledger that was kept with it. unsettled: files that may have changed since unnoticed. asked:
    what rules asked the disk for beside the files that are read, and the answers.
    """

    key: bytes
    pairing_id: bytes
    catalog: RuleCatalog
    snapshot: TreeSnapshot
    racy_files: frozenset[str]
    path_checks: dict[str, bool]
    result: AuditResult

    def is_valid(self, root: str, snapshot: TreeSnapshot) -> bool:
        """Return whether nothing has changed that the verdict hangs on."""
        if self.snapshot != snapshot or self.racy_files:
            return False
        return all(has_path(root, path) is answer for path, answer in self.path_checks.items())


class CrossFileFindings(msgspec.Struct, frozen=True, array_like=True):
    """What a rule said in the light of several files. asked: of the disk, and the answers."""

    findings: tuple[Finding, ...]
    path_checks: dict[str, bool] = {}


class TreeCache:
    """The memory of one tree, audited in one way.

    folder: where memories are kept, None to keep none. Anything that is wrong with one is as if there were
    none, and a folder that cannot be written costs time, not the audit.
    """

    def __init__(self, cache_dir: Path | None, root: str, exclude: Iterable[str]) -> None:
        name = blake2b(repr((root, sorted(exclude))).encode(), digest_size=10).hexdigest()
        self._cache_dir = cache_dir
        self._tree_dir = None if cache_dir is None else cache_dir / name

    def load(self, name: str, type_: type[T]) -> T | None:
        """Return what was kept under a name, None when there is nothing of use."""
        if self._tree_dir is None:
            return None
        try:
            return msgspec.msgpack.decode((self._tree_dir / name).read_bytes(), type=type_)
        except (OSError, msgspec.MsgspecError, ValueError):
            return None

    def store(self, name: str, value: object) -> None:
        """Keep a value under a name."""
        if self._tree_dir is None or self._cache_dir is None:
            return
        with contextlib.suppress(OSError):
            if not self._tree_dir.is_dir():
                self._tree_dir.mkdir(parents=True, mode=0o700)
                _evict_oldest(self._cache_dir)
            path = (
                self._tree_dir / os.urandom(16).hex()
            )  # `tempfile` would take longer to load than this to write
            try:
                with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(msgspec.msgpack.encode(value))
                os.replace(path, self._tree_dir / name)
            except BaseException:
                path.unlink(missing_ok=True)
                raise

    def store_versioned(self, name: str, value: object) -> str:
        """Keep a value under a new name that begins with `name`, and return that; earlier ones go."""
        versioned_name = f"{name}-{os.urandom(8).hex()}"
        self.store(versioned_name, value)
        if self._tree_dir is not None:
            with contextlib.suppress(OSError):
                for path in self._tree_dir.glob(f"{name}-*"):
                    if path.name != versioned_name:
                        path.unlink(missing_ok=True)
        return versioned_name


def default_cache_dir() -> Path:
    """Return where audits keep what they remember."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home) / "argosy" / "audit"


def code_fingerprint() -> bytes:
    """Return what tells one version of the rules, and of what they read with, from another.

    Taken from the stamps of the files: reading them all would take longer than looking at a tree.
    """
    digest = blake2b(sys.version.encode(), digest_size=16)
    pending = [str(Path(argosy.__file__).parent / room) for room in ("fleet", "refit", "source")]
    while pending:
        with os.scandir(pending.pop()) as listing:
            for entry in sorted(listing, key=lambda entry: entry.name):
                if entry.name.endswith(".py"):
                    status = entry.stat()
                    digest.update(
                        f"{entry.path} {status.st_size} {status.st_mtime_ns} {status.st_ino}".encode()
                    )
                elif entry.is_dir() and entry.name != "__pycache__":
                    pending.append(entry.path)
    return digest.digest()


def digest_of(parts: Iterable[bytes]) -> bytes:
    """Return what tells these parts, in this order, from any others."""
    materialized = list(parts)
    # The lengths first: so there is one copy and one pass, where a call for each part would cost more.
    digest = blake2b(array("Q", [len(materialized), *map(len, materialized)]).tobytes(), digest_size=16)
    digest.update(b"".join(materialized))
    return digest.digest()


def find_racy_files(snapshot: TreeSnapshot, scanned_at_ns: int) -> frozenset[str]:
    """Return the files that were written so shortly before `taken_ns` that the next write may not show."""
    threshold_ns = scanned_at_ns - _RACY_WINDOW_NS
    return frozenset(
        path
        for path, stamp in snapshot.file_stats.items()
        if max(stamp.mtime_ns, stamp.ctime_ns) >= threshold_ns
    )


def _evict_oldest(cache_dir: Path) -> None:
    import shutil  # noqa: PLC0415 - once for each new tree

    by_age = sorted(cache_dir.iterdir(), key=lambda item: item.stat().st_mtime, reverse=True)
    for tree_dir in by_age[_MAX_TREES:]:
        shutil.rmtree(tree_dir, ignore_errors=True)
