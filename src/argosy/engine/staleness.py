"""Which agents have older code than the tree, by what their sources were when they started."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from argosy.engine.imprint import Imprint, Print, take_print
from argosy.engine.lease import read_record, written_at
from argosy.engine.process import find_process
from argosy.engine.sources import Shelf
from argosy.fleet.spec import AgentSpec, Fleet
from argosy.source.modules import Folders


def began_at(pid: int, lease: Path) -> float | None:
    """Return when a process became the agent of this lease, in epoch seconds; None: there is no process.

    That is when it wrote its lease: a zygote may have forked it long before. Where another's record or none
    is there, when it started, at most a clock tick too early.
    """
    found = find_process(pid)
    if found is None:
        return None
    with contextlib.suppress(OSError):
        record = read_record(lease)
        if record is not None and record.identity == found:
            return written_at(lease)
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - found.started / os.sysconf("SC_CLK_TCK")
    return time.time() - age_s


def last_began_at(lease: Path, until_s: float) -> float:
    """Return when the last process of an agent that has none any more began, at most `until_s`.

    That is when its lease was written, or `until_s` where it never had one.
    """
    with contextlib.suppress(OSError):
        return min(written_at(lease), until_s)
    return until_s


def stale_agents(
    fleet: Fleet, started: Mapping[str, float], imprint: Imprint, variables: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Return the agents whose code has changed since they started, each with the files that did.

    started: epoch seconds of each agent's last start. variables: the environment that they inherit.
    A file that is gone counts where the agent would still import it.
    """
    look = _Look(fleet, imprint, variables)
    found = {
        name: look.changed(fleet.agents[name], at_s) for name, at_s in started.items() if name in fleet.agents
    }
    return {name: files for name, files in found.items() if files}


class _Look:
    """One look at all agents; each file is read once."""

    def __init__(self, fleet: Fleet, imprint: Imprint, variables: Mapping[str, str]) -> None:
        self._root = os.path.dirname(fleet.path)
        self._imprint = imprint
        self._variables = variables
        self._shelves: dict[frozenset[str], Shelf] = {}
        self._now: dict[str, Print | None] = {}
        self._gone = [path for path in imprint.files if not os.path.exists(path)]

    def changed(self, agent: AgentSpec, at_s: float) -> tuple[str, ...]:
        files = self._shelf(at_s).sources_of(agent).files()
        return tuple(path for path in files if self._is_changed(path, at_s))

    def _shelf(self, at_s: float) -> Shelf:
        """Return a shelf that has the files of today, and those that an agent of that time had."""
        ghosts = frozenset(path for path in self._gone if self._imprint.at(path, at_s) is not None)
        if ghosts not in self._shelves:
            self._shelves[ghosts] = Shelf(self._root, self._variables, _HauntedFolders(ghosts))
        return self._shelves[ghosts]

    def _is_changed(self, path: str, at_s: float) -> bool:
        if path not in self._now:
            self._now[path] = take_print(path)
        now, then = self._now[path], self._imprint.at(path, at_s)
        if now is None:
            return True
        return now.digest != then.digest if then is not None else now.since_s > at_s


class _HauntedFolders(Folders):
    """Listings that still have files which are gone."""

    def __init__(self, ghosts: Iterable[str]) -> None:
        super().__init__()
        self._ghosts = [os.path.split(ghost) for ghost in ghosts]

    def entries(self, folder: str) -> dict[str, bool]:
        known = super().entries(folder)
        return {**known, **{name: False for parent, name in self._ghosts if parent == folder}}
