"""Finds the root of a source's relative paths, and makes paths relative to the fleet file."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import msgspec

from argosy.fleet.importers.import_model import ImportDecision, ImportedAgent, ImportSource
from argosy.fleet.locations import format_path


class SourceRoot(msgspec.Struct, frozen=True):
    """The root of a source's tree; `decision` is set if it was guessed."""

    root: Path
    decision: ImportDecision | None = None


def find_source_root(source: ImportSource) -> SourceRoot:
    """Return the nearest folder, from the source's own upwards, that contains most of its scripts.

    For a source without relative script paths it is the most common working folder of its agents.
    """
    scripts = [agent.script for agent in source.agents if agent.script and not os.path.isabs(agent.script)]
    if not scripts:
        cwds = Counter(agent.cwd for agent in source.agents if agent.cwd and os.path.isabs(agent.cwd))
        return SourceRoot(Path(cwds.most_common(1)[0][0]) if cwds else source.path.parent)
    folders = [source.path.parent, *source.path.parent.parents]
    counts = [sum((folder / script).is_file() for script in scripts) for folder in folders]
    most = max(counts)
    root = folders[counts.index(most)]
    if most == len(scripts):
        return SourceRoot(root)
    name = format_path(source.path)
    if most == 0:
        what = f"none of its {len(scripts)} scripts is below its folder or a parent; its folder is the root"
        return SourceRoot(source.path.parent, ImportDecision(name, what, "correct the paths under `run`"))
    what = f"{len(scripts) - most} of its {len(scripts)} scripts are not below `{format_path(root)}`"
    return SourceRoot(
        root, ImportDecision(name, what, "most of them are; `argosy check` lists the missing ones")
    )


def has_only_missing_scripts(source: ImportSource) -> bool:
    """Return whether a source has only scripts, and none of them exists."""
    if any(agent.script is None for agent in source.agents):
        return False
    root = find_source_root(source).root
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
