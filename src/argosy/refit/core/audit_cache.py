"""The cache of an audit: what is stored about a tree between two runs."""

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
from argosy.atomic_file import write_atomic
from argosy.refit.core.discovery import TreeSnapshot, has_path
from argosy.refit.core.finding import Finding, RuleFailure
from argosy.refit.core.rule_manifest import FactManifest, RuleManifest
from argosy.source.digest import blake2b
from argosy.source.python_source import Unparsed

T = TypeVar("T")

_MAX_TREES = 32  # cached trees
# File system clocks tick every 4 to 10 ms: two writes within one tick have equal timestamps.
_RACY_WINDOW_NS = 50_000_000


class AuditResult(msgspec.Struct, frozen=True, array_like=True):
    """All findings of a tree, before any selection.

    ignored_count: findings that comments suppress. skipped_rules: by code, why a rule could not run.
    """

    file_count: int
    unparsed: dict[str, Unparsed]
    findings: tuple[Finding, ...]
    ignored_count: int
    failures: tuple[RuleFailure, ...]
    skipped_rules: dict[str, str]


class RuleCatalog(msgspec.Struct, frozen=True, array_like=True):
    """The rule metadata that is needed before the rules are loaded.

    file_patterns: globs of the files that rules read in addition to `*.py`. titles: by code. rule_manifests:
    the available rules. fact_manifests: the kinds of facts that these rules read from Python files.
    """

    file_patterns: tuple[str, ...]
    titles: dict[str, str]
    rule_manifests: tuple[RuleManifest, ...]
    fact_manifests: tuple[FactManifest, ...]


class CachedAudit(msgspec.Struct, frozen=True, array_like=True):
    """A snapshot of a tree and its audit result.

    pairing_id: that of the fact store written with it. racy_files: files that may have changed unnoticed
    since the snapshot. path_checks: the paths that rules checked on disk, with the answers.
    """

    key: bytes
    pairing_id: bytes
    catalog: RuleCatalog
    snapshot: TreeSnapshot
    racy_files: frozenset[str]
    path_checks: dict[str, bool]
    result: AuditResult

    def is_valid(self, root: str, snapshot: TreeSnapshot) -> bool:
        """Return whether nothing has changed that the result depends on."""
        if self.snapshot != snapshot or self.racy_files:
            return False
        return all(has_path(root, path) is answer for path, answer in self.path_checks.items())


class CrossFileFindings(msgspec.Struct, frozen=True, array_like=True):
    """The findings of a cross-file rule. path_checks: the paths it checked on disk, with the answers."""

    findings: tuple[Finding, ...]
    path_checks: dict[str, bool] = {}


class TreeCache:
    """The cache of one tree, audited with one set of exclusions.

    cache_dir: None to store nothing. A corrupt cache counts as an empty one; a directory that cannot be
    written costs time, and the audit goes on.
    """

    def __init__(self, cache_dir: Path | None, root: str, exclude: Iterable[str]) -> None:
        name = blake2b(repr((root, sorted(exclude))).encode(), digest_size=10).hexdigest()
        self._cache_dir = cache_dir
        self._tree_dir = None if cache_dir is None else cache_dir / name

    def load(self, name: str, type_: type[T]) -> T | None:
        """Return the value stored as `name`, None when it is missing or cannot be decoded."""
        if self._tree_dir is None:
            return None
        try:
            return msgspec.msgpack.decode((self._tree_dir / name).read_bytes(), type=type_)
        except (OSError, msgspec.MsgspecError, ValueError):
            return None

    def store(self, name: str, value: object) -> None:
        """Store a value as `name`."""
        if self._tree_dir is None or self._cache_dir is None:
            return
        with contextlib.suppress(OSError):
            if not self._tree_dir.is_dir():
                self._tree_dir.mkdir(parents=True, mode=0o700)
                _evict_oldest(self._cache_dir)
            # No `tempfile`: loading it takes longer than this write.
            temp_path = self._tree_dir / os.urandom(16).hex()
            write_atomic(
                self._tree_dir / name, msgspec.msgpack.encode(value), mode=0o600, temp_path=temp_path
            )

    def store_versioned(self, name: str, value: object) -> str:
        """Store a value under a new name that begins with `name`, delete older ones, and return the name."""
        versioned_name = f"{name}-{os.urandom(8).hex()}"
        self.store(versioned_name, value)
        if self._tree_dir is not None:
            with contextlib.suppress(OSError):
                for path in self._tree_dir.glob(f"{name}-*"):
                    if path.name != versioned_name:
                        path.unlink(missing_ok=True)
        return versioned_name


def default_cache_dir() -> Path:
    """Return the default directory of audit caches."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home) / "argosy" / "audit"


def code_fingerprint() -> bytes:
    """Return a digest that changes with the code of the rules and of the modules they use.

    It is taken from the metadata of the files: reading them all takes longer than scanning a tree.
    """
    digest = blake2b(sys.version.encode(), digest_size=16)
    pending = [str(Path(argosy.__file__).parent / package) for package in ("fleet", "refit", "source")]
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
    """Return a digest of the parts, in this order; different splits of equal bytes give different digests."""
    materialized = list(parts)
    # All lengths come first: one copy and one pass are cheaper than a call for each part.
    digest = blake2b(array("Q", [len(materialized), *map(len, materialized)]).tobytes(), digest_size=16)
    digest.update(b"".join(materialized))
    return digest.digest()


def find_racy_files(snapshot: TreeSnapshot, scanned_at_ns: int) -> frozenset[str]:
    """Return the files written so shortly before `scanned_at_ns` that a later write may go unnoticed."""
    threshold_ns = scanned_at_ns - _RACY_WINDOW_NS
    return frozenset(
        path
        for path, file_stat in snapshot.file_stats.items()
        if max(file_stat.mtime_ns, file_stat.ctime_ns) >= threshold_ns
    )


def _evict_oldest(cache_dir: Path) -> None:
    import shutil  # noqa: PLC0415 - once for each new tree

    by_age = sorted(cache_dir.iterdir(), key=lambda item: item.stat().st_mtime, reverse=True)
    for tree_dir in by_age[_MAX_TREES:]:
        shutil.rmtree(tree_dir, ignore_errors=True)
