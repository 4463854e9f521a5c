"""Determines the root, the machine and the working folder of each source, and makes paths relative.

The machine has the name given by the user, else one from the source's path.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from argosy.fault import Fault, InputError
from argosy.fleet.importers.deduplication import make_unique, to_fleet_name
from argosy.fleet.importers.import_model import ImportDecision, ImportedAgent, ImportSource
from argosy.fleet.locations import format_path

# The machine of a file at the root of its tree, whose path names none.
_DEFAULT_NAME = "main"


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
    located = [_find_root(source) for source in sources]
    machines = _name_machines([source.path for source in sources], [root for root, _ in located], overrides)
    return tuple(
        PlacedSource(source, root, machine, _most_common_working_dir([(source, root)]), decision)
        for source, (root, decision), machine in zip(sources, located, machines, strict=True)
    )


def most_common_working_dir(placed: Sequence[PlacedSource]) -> Path:
    """Return the most common working folder of the agents; of equally common ones the first."""
    return _most_common_working_dir((site.source, site.root) for site in placed)


def _most_common_working_dir(sources: Iterable[tuple[ImportSource, Path]]) -> Path:
    pairs = list(sources)
    folders = Counter(working_dir_of(agent, root) for source, root in pairs for agent in source.agents)
    return folders.most_common(1)[0][0] if folders else pairs[0][1]


def _find_root(source: ImportSource) -> tuple[Path, ImportDecision | None]:
    """Return the nearest folder, from the source's own upwards, that contains most of its scripts.

    For a source without relative script paths it is the most common working folder of its agents. The
    decision is set if the root was guessed.
    """
    scripts = [agent.script for agent in source.agents if agent.script and not os.path.isabs(agent.script)]
    if not scripts:
        cwds = Counter(agent.cwd for agent in source.agents if agent.cwd and os.path.isabs(agent.cwd))
        return Path(cwds.most_common(1)[0][0]) if cwds else source.path.parent, None
    folders = [source.path.parent, *source.path.parent.parents]
    counts = [sum((folder / script).is_file() for script in scripts) for folder in folders]
    most = max(counts)
    root = folders[counts.index(most)]
    if most == len(scripts):
        return root, None
    name = format_path(source.path)
    if most == 0:
        what = f"none of its {len(scripts)} scripts is below its folder or a parent; its folder is the root"
        return source.path.parent, ImportDecision(name, what, "correct the paths under `run`")
    what = f"{len(scripts) - most} of its {len(scripts)} scripts are not below `{format_path(root)}`"
    return root, ImportDecision(name, what, "most of them are; `argosy check` lists the missing ones")


def has_only_missing_scripts(source: ImportSource) -> bool:
    """Return whether a source has only scripts, and none of them exists."""
    if any(agent.script is None for agent in source.agents):
        return False
    root, _ = _find_root(source)
    return not any((root / str(agent.run)).is_file() for agent in source.agents)


def working_dir_of(agent: ImportedAgent, root: Path) -> Path:
    """Return the absolute working folder of an agent."""
    return _normalized_path(root, agent.cwd or ".")


def relative_paths(agent: ImportedAgent, root: Path, folder: Path, shared_cwd: Path) -> ImportedAgent:
    """Return the agent with its paths relative to `folder`, the folder of the fleet file.

    shared_cwd: the working folder in `defaults`; an agent has a `cwd` only if it differs.
    """
    cwd = working_dir_of(agent, root)
    # A relative interpreter path would depend on the working folder, so it is made absolute.
    python = (
        str(_normalized_path(root, agent.python)) if agent.python and "/" in agent.python else agent.python
    )
    return msgspec.structs.replace(
        agent,
        run=agent.run
        if agent.script is None
        else relative_path(_normalized_path(root, agent.script), folder),
        cwd=None if cwd == shared_cwd else relative_path(cwd, folder),
        env_file=None
        if agent.env_file is None
        else relative_path(_normalized_path(cwd, agent.env_file), folder),
        python=python,
    )


def relative_path(path: Path, folder: Path) -> str:
    """Return `path` relative to `folder`; absolute if they share only the root of the file system."""
    if os.path.commonpath([path, folder]) == os.sep and not path.is_relative_to(folder):
        return str(path)
    return os.path.relpath(path, folder)


def _normalized_path(root: Path, path: str) -> Path:
    return Path(os.path.normpath(root / path))


def _name_machines(
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
    return _distinguish_below(paths, group, Path(os.path.commonpath([path.parent for path in paths])))


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
