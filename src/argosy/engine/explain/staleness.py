"""Which agents run older code than the tree, by the state of their sources when they started."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from argosy.engine.plan.agent_sources import AgentSourceCache
from argosy.engine.process import os_process
from argosy.engine.process.lease import read_record, written_at
from argosy.engine.process.os_process import find_process
from argosy.engine.state.source_snapshot import FileFingerprint, SourceSnapshot, fingerprint_file
from argosy.fleet.fleet_spec import AgentSpec, Fleet
from argosy.source.module_finder import DirectoryListings


def agent_started_at(pid: int, lease: Path) -> float | None:
    """Return when a process became the agent of this lease, in epoch seconds; None: there is no process.

    That is when it wrote its lease, since a zygote may have forked it long before. If the record is missing
    or another process's, it is when the process started, at most a clock tick too early.
    """
    found = find_process(pid)
    if found is None:
        return None
    with contextlib.suppress(OSError):
        record = read_record(lease)
        if record is not None and record.identity == found:
            return written_at(lease)
    return os_process.started_at(found.start_ticks)


def last_started_at(lease: Path, until_s: float) -> float:
    """Return when the last process of a stopped agent started, at most `until_s`.

    That is when its lease was written, or `until_s` if it never had one.
    """
    with contextlib.suppress(OSError):
        return min(written_at(lease), until_s)
    return until_s


def find_stale_agents(
    fleet: Fleet, started: Mapping[str, float], snapshot: SourceSnapshot, variables: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Return the agents whose code has changed since they started, each with its changed files.

    started: epoch seconds of each agent's last start. variables: the environment that they inherit.
    A file that is gone counts where the agent would still import it.
    """
    scan = _StalenessScan(fleet, snapshot, variables)
    found = {
        name: scan.changed_files(fleet.agents[name], at_s)
        for name, at_s in started.items()
        if name in fleet.agents
    }
    return {name: files for name, files in found.items() if files}


class _StalenessScan:
    """One scan of all agents; each file is read once."""

    def __init__(self, fleet: Fleet, snapshot: SourceSnapshot, variables: Mapping[str, str]) -> None:
        self._root = os.path.dirname(fleet.path)
        self._snapshot = snapshot
        self._variables = variables
        self._source_caches: dict[frozenset[str], AgentSourceCache] = {}
        self._current_fingerprints: dict[str, FileFingerprint | None] = {}
        self._deleted_paths = [path for path in snapshot.files if not os.path.exists(path)]

    def changed_files(self, agent: AgentSpec, at_s: float) -> tuple[str, ...]:
        files = self._source_cache_at(at_s).read_sources(agent).all_files()
        return tuple(path for path in files if self._is_changed(path, at_s))

    def _source_cache_at(self, at_s: float) -> AgentSourceCache:
        """Return a source cache with today's files and those that an agent of that time had."""
        deleted_since = frozenset(
            path for path in self._deleted_paths if self._snapshot.fingerprint_at(path, at_s) is not None
        )
        if deleted_since not in self._source_caches:
            self._source_caches[deleted_since] = AgentSourceCache(
                self._root, self._variables, _ListingsWithDeleted(deleted_since)
            )
        return self._source_caches[deleted_since]

    def _is_changed(self, path: str, at_s: float) -> bool:
        if path not in self._current_fingerprints:
            self._current_fingerprints[path] = fingerprint_file(path)
        now, then = self._current_fingerprints[path], self._snapshot.fingerprint_at(path, at_s)
        if now is None:
            return True
        return now.digest != then.digest if then is not None else now.since_s > at_s


class _ListingsWithDeleted(DirectoryListings):
    """Directory listings that include deleted files."""

    def __init__(self, deleted_paths: Iterable[str]) -> None:
        super().__init__()
        self._deleted = [os.path.split(path) for path in deleted_paths]

    def entries_of(self, directory: str) -> dict[str, bool]:
        known = super().entries_of(directory)
        return {**known, **{name: False for parent, name in self._deleted if parent == directory}}
