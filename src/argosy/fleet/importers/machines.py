"""Names the machine of each source: by hand, else by where the paths of the sources part."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from argosy.fault import Fault, InputError
from argosy.fleet.importers.names import fleet_name, unlike
from argosy.fleet.places import displayed

# A file that lies at the root of its tree says nothing about a machine.
_ONLY = "main"


def name_machines(
    paths: Sequence[Path], roots: Sequence[Path], chosen: Mapping[Path, str]
) -> tuple[str, ...]:
    """Return the machine of each source path.

    roots: the root of each source's tree. chosen: names given by hand, for a file or a folder of sources.

    Raises InputError: a name was given for a path that holds no source.
    """
    for path, name in chosen.items():
        if not any(source.is_relative_to(path) for source in paths):
            message = f"`{displayed(path)}` is no file that was read, nor a folder of one"
            raise InputError(Fault(f"--machine {name}={displayed(path)}", "usage", message))
    by_hand = {at: _by_hand(path, chosen) for at, path in enumerate(paths)}
    left = [at for at, name in by_hand.items() if name is None]
    found = {0: _below(paths[0], roots[0])} if len(paths) == 1 else _part(paths, left)
    names: dict[int, str] = {at: name for at, name in by_hand.items() if name is not None}
    for at in left:
        names[at] = unlike(fleet_name(found[at]), names.values())
    return tuple(names[at] for at in range(len(paths)))


def _by_hand(path: Path, chosen: Mapping[Path, str]) -> str | None:
    fitting = [given for given in chosen if path.is_relative_to(given)]
    return chosen[max(fitting, key=lambda given: len(given.parts))] if fitting else None


def _below(path: Path, root: Path) -> str:
    """Return the first folder below the root of a tree on the way to its only source."""
    parts = path.relative_to(root).parts if path.is_relative_to(root) else ()
    return parts[0] if len(parts) > 1 else _ONLY


def _part(paths: Sequence[Path], group: Sequence[int]) -> dict[int, str]:
    """Return for each path of `group` the first component that tells it from the others.

    Paths that share that component are told apart further down.
    """
    base = Path(os.path.commonpath([path.parent for path in paths]))
    return _part_below(paths, group, base)


def _part_below(paths: Sequence[Path], group: Sequence[int], base: Path) -> dict[int, str]:
    alike: dict[str, list[int]] = {}
    for at in group:
        alike.setdefault(paths[at].relative_to(base).parts[0], []).append(at)
    names: dict[int, str] = {}
    for part, members in alike.items():
        if len(members) == 1:
            names[members[0]] = Path(part).stem if base / part == paths[members[0]] else part
        else:
            deeper = Path(os.path.commonpath([paths[at].parent for at in members]))
            names.update(_part_below(paths, members, deeper))
    return names
