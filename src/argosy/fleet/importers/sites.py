"""Where each source belongs: its tree's root, its machine, the folder that its agents work in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from argosy.fleet.importers.found import Decision, Source
from argosy.fleet.importers.locate import locate, working_folder
from argosy.fleet.importers.machines import name_machines


class Site(msgspec.Struct, frozen=True):
    """A source in its place.

    root: the absolute folder that its script paths start from. cwd: that in which most of its agents work.
    decision: there when the root had to be guessed.
    """

    source: Source
    root: Path
    machine: str
    cwd: Path
    decision: Decision | None = None


def place_sources(sources: Sequence[Source], chosen: Mapping[Path, str]) -> tuple[Site, ...]:
    """Return the sources with their roots and machines.

    chosen: machines named by hand, for a source or a folder of sources.
    Raises InputError: `chosen` names a path that holds no source.
    """
    located = [locate(source) for source in sources]
    roots = [one.root for one in located]
    machines = name_machines([source.path for source in sources], roots, chosen)
    return tuple(
        Site(source, one.root, machine, _usual([(source, one.root)]), one.decision)
        for source, one, machine in zip(sources, located, machines, strict=True)
    )


def usual_folder(sites: Sequence[Site]) -> Path:
    """Return the working folder of most agents of the fleet, the first among equals."""
    return _usual((site.source, site.root) for site in sites)


def _usual(sources: Iterable[tuple[Source, Path]]) -> Path:
    pairs = list(sources)
    folders = Counter(working_folder(agent, root) for source, root in pairs for agent in source.agents)
    return folders.most_common(1)[0][0] if folders else pairs[0][1]
