"""The tree that claims are checked against: its files, fleet and audit findings, each loaded on first use."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from argosy.refit.audit.tree_audit import AuditReport, audit
from argosy.refit.claims.claim_spec import FileScope
from argosy.refit.claims.file_scopes import select_files
from argosy.refit.claims.fleet_facts import FleetFacts, read_fleet_facts
from argosy.refit.core.discovery import scan_tree
from argosy.source.python_source import Unparsed, read_source_bytes

_NUL = b"\0"
_BINARY_CHECK_BYTES = 8192


class Codebase:
    """A tree with its fleet and its audit.

    root: made real and absolute. fleet_paths: files that define its fleet, relative to it; empty for no
    fleet. cache: the cache folder of the audit, None for none.
    """

    def __init__(self, root: str | os.PathLike[str], fleet_paths: Sequence[str], cache: Path | None) -> None:
        self.root = os.path.realpath(root)
        self.fleet_paths = tuple(fleet_paths)
        self._cache = cache

    @cached_property
    def files(self) -> tuple[str, ...]:
        """All regular files, sorted."""
        return tuple(sorted(scan_tree(self.root, ["*"]).file_stats))

    @cached_property
    def fleet(self) -> FleetFacts | None:
        """The fleet, None when `fleet_paths` is empty. Raises InputError: one of its files cannot be read."""
        return read_fleet_facts(self.root, self.fleet_paths) if self.fleet_paths else None

    @cached_property
    def audit_report(self) -> AuditReport:
        """The audit of the tree."""
        fleet = self.fleet.fleet if self.fleet is not None else None
        return audit(self.root, fleet=None if fleet is None else fleet.path, cache_dir=self._cache)

    def select_files(self, scope: FileScope) -> tuple[str, ...]:
        """Return the files of a scope."""
        scripts = self.fleet.scripts if scope.includes_fleet and self.fleet is not None else ()
        known = set(self.files)
        return select_files(scope, self.files, [path for path in scripts if path in known])

    def read_bytes(self, path: str) -> bytes | None:
        """Return the bytes of a file, None when it cannot be read."""
        found = read_source_bytes(os.path.join(self.root, path))
        return None if isinstance(found, Unparsed) else found

    def read_text(self, path: str) -> str | None:
        """Return the text of a file, None when it cannot be read or is binary."""
        data = self.read_bytes(path)
        if data is None or _NUL in data[:_BINARY_CHECK_BYTES]:
            return None
        return data.decode("utf-8-sig", "replace")
