"""Determines the root, the machine and the working folder of each source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from argosy.fleet.importers.import_model import ImportDecision, ImportSource
from argosy.fleet.importers.machine_names import name_machines
from argosy.fleet.importers.source_root import find_source_root, working_dir_of


class PlacedSource(msgspec.Struct, frozen=True):
    """A source with its root, machine and working folder.

    root: the absolute folder that its script paths are relative to. cwd: the most common working folder of
    its agents. decision: set if the root was guessed.
    """

    source: ImportSource
    root: Path
    machine: str
    cwd: Path
    decision: ImportDecision | None = None


def place_sources(sources: Sequence[ImportSource], overrides: Mapping[Path, str]) -> tuple[PlacedSource, ...]:
    """Return the sources with their roots and machines.

    overrides: machine names given for a source or a folder of sources.
    Raises InputError: `overrides` has a path without a source.
    """
    located = [find_source_root(source) for source in sources]
    roots = [one.root for one in located]
    machines = name_machines([source.path for source in sources], roots, overrides)
    return tuple(
        PlacedSource(source, one.root, machine, _most_common_working_dir([(source, one.root)]), one.decision)
        for source, one, machine in zip(sources, located, machines, strict=True)
    )


def most_common_working_dir(placed: Sequence[PlacedSource]) -> Path:
    """Return the most common working folder of the agents; of equally common ones the first."""
    return _most_common_working_dir((site.source, site.root) for site in placed)


def _most_common_working_dir(sources: Iterable[tuple[ImportSource, Path]]) -> Path:
    pairs = list(sources)
    folders = Counter(working_dir_of(agent, root) for source, root in pairs for agent in source.agents)
    return folders.most_common(1)[0][0] if folders else pairs[0][1]
