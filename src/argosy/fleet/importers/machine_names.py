"""Names the machine of each source: as given by the user, else from its path."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from argosy.fault import Fault, InputError
from argosy.fleet.importers.unique_names import make_unique, to_fleet_name
from argosy.fleet.locations import format_path

# For a file at the root of its tree, whose path names no machine.
_DEFAULT_NAME = "main"


def name_machines(
    paths: Sequence[Path], roots: Sequence[Path], overrides: Mapping[Path, str]
) -> tuple[str, ...]:
    """Return the machine of each source path.

    roots: the root of each source's tree. overrides: names given for a source or a folder of sources.

    Raises InputError: a name was given for a path without a source.
    """
    for path, name in overrides.items():
        if not any(source.is_relative_to(path) for source in paths):
            message = f"`{format_path(path)}` is neither an imported file nor a folder of one"
            raise InputError(Fault(f"--machine {name}={format_path(path)}", "usage", message))
    overridden = {at: _override_for(path, overrides) for at, path in enumerate(paths)}
    unnamed = [at for at, name in overridden.items() if name is None]
    found = {0: _first_folder_below(paths[0], roots[0])} if len(paths) == 1 else _distinguish(paths, unnamed)
    names: dict[int, str] = {at: name for at, name in overridden.items() if name is not None}
    for at in unnamed:
        names[at] = make_unique(to_fleet_name(found[at]), names.values())
    return tuple(names[at] for at in range(len(paths)))


def _override_for(path: Path, overrides: Mapping[Path, str]) -> str | None:
    matching = [given for given in overrides if path.is_relative_to(given)]
    return overrides[max(matching, key=lambda given: len(given.parts))] if matching else None


def _first_folder_below(path: Path, root: Path) -> str:
    """Return the first folder below the root on the path to the only source."""
    parts = path.relative_to(root).parts if path.is_relative_to(root) else ()
    return parts[0] if len(parts) > 1 else _DEFAULT_NAME


def _distinguish(paths: Sequence[Path], group: Sequence[int]) -> dict[int, str]:
    """Return for each path of `group` the first component that distinguishes it from the others.

    Paths that share that component are distinguished by later ones.
    """
    base = Path(os.path.commonpath([path.parent for path in paths]))
    return _distinguish_below(paths, group, base)


def _distinguish_below(paths: Sequence[Path], group: Sequence[int], base: Path) -> dict[int, str]:
    by_part: dict[str, list[int]] = {}
    for at in group:
        by_part.setdefault(paths[at].relative_to(base).parts[0], []).append(at)
    names: dict[int, str] = {}
    for part, members in by_part.items():
        if len(members) == 1:
            names[members[0]] = Path(part).stem if base / part == paths[members[0]] else part
        else:
            deeper = Path(os.path.commonpath([paths[at].parent for at in members]))
            names.update(_distinguish_below(paths, members, deeper))
    return names
