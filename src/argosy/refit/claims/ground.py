"""The tree that claims are held against: its files, fleet and findings, each read when first asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from argosy.refit.audit import Report, audit
from argosy.refit.claims.fleetfacts import FleetFacts, read_fleet_facts
from argosy.refit.claims.scopes import select
from argosy.refit.claims.spec import Scope
from argosy.refit.walk import take_snapshot
from argosy.source.text import Unparsed, read_data

_BINARY = b"\0"
_HEAD = 8192


class Ground:
    """A tree and what is known of it.

    root: real and absolute. fleet_paths: what tells its fleet, relative to it; empty for no fleet.
    cache: the folder of the audit's memories, None for none.
    """

    def __init__(self, root: str | os.PathLike[str], fleet_paths: Sequence[str], cache: Path | None) -> None:
        self.root = os.path.realpath(root)
        self.fleet_paths = tuple(fleet_paths)
        self._cache = cache

    @cached_property
    def files(self) -> tuple[str, ...]:
        """All regular files, sorted."""
        return tuple(sorted(take_snapshot(self.root, ["*"]).stamps))

    @cached_property
    def fleet(self) -> FleetFacts | None:
        """The fleet, None where nothing tells it. Raises InputError: what should tell it cannot be read."""
        return read_fleet_facts(self.root, self.fleet_paths) if self.fleet_paths else None

    @cached_property
    def report(self) -> Report:
        """What the audit finds."""
        fleet = self.fleet.fleet if self.fleet is not None else None
        return audit(self.root, fleet=None if fleet is None else fleet.path, cache=self._cache)

    def select(self, scope: Scope) -> tuple[str, ...]:
        """Return the files of a scope."""
        scripts = self.fleet.scripts if scope.fleet and self.fleet is not None else ()
        known = set(self.files)
        return select(scope, self.files, [path for path in scripts if path in known])

    def data(self, path: str) -> bytes | None:
        """Return the bytes of a file, None where it cannot be read."""
        found = read_data(os.path.join(self.root, path))
        return None if isinstance(found, Unparsed) else found

    def text(self, path: str) -> str | None:
        """Return the text of a file, None where it cannot be read or is none."""
        data = self.data(path)
        if data is None or _BINARY in data[:_HEAD]:
            return None
        return data.decode("utf-8-sig", "replace")
