"""Splits the variables that sources set for all their agents into fleet-wide and per-source ones."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from argosy.fleet.importers.import_model import ImportDecision, ImportSource
from argosy.fleet.importers.source_placement import PlacedSource, relative_path, working_dir_of
from argosy.fleet.quantities import format_names

_PYTHONPATH = "PYTHONPATH"


class SharedVariables(msgspec.Struct, frozen=True):
    """Variables for every agent, and for each source those of its agents only."""

    fleet_wide: dict[str, str]
    by_source: tuple[dict[str, str], ...]
    decisions: tuple[ImportDecision, ...]


def split_shared_variables(placed: Sequence[PlacedSource]) -> SharedVariables:
    """Return the variables split: fleet-wide, unless two sources set different values."""
    envs = [fix_python_path(site.source.env, site.root, site.cwd) for site in placed]
    names = dict.fromkeys(name for env in envs for name in env)
    everywhere = {name: value for name in names if (value := _common_value(name, envs)) is not None}
    own = tuple({name: value for name, value in env.items() if name not in everywhere} for env in envs)
    decisions: list[ImportDecision] = []
    for placed_source, env, left in zip(placed, envs, own, strict=True):
        decisions += [*_python_path_decisions(placed_source), *_unexpanded_decisions(placed_source.source)]
        decisions += _shared_variable_decisions(placed_source, env, left, len(placed))
    return SharedVariables(everywhere, own, tuple(decisions))


def fix_python_path(env: dict[str, str], root: Path, cwd: Path) -> dict[str, str]:
    """Return `env`, with PYTHONPATH replaced by the root of the tree if none of its folders exists.

    It is relative to `cwd`: the interpreter makes it absolute when it starts.
    """
    return {**env, _PYTHONPATH: relative_path(root, cwd)} if _has_missing_python_path(env, cwd) else env


def _has_missing_python_path(env: dict[str, str], cwd: Path) -> bool:
    """Return whether PYTHONPATH is set and none of its folders exists; a part with `$` never does."""
    parts = env.get(_PYTHONPATH, "").split(os.pathsep)
    return _PYTHONPATH in env and not any(
        part and "$" not in part and (cwd / part).is_dir() for part in parts
    )


def _common_value(name: str, envs: Sequence[dict[str, str]]) -> str | None:
    values = {env[name] for env in envs if name in env}
    return values.pop() if len(values) == 1 else None


def _shared_variable_decisions(
    placed_source: PlacedSource, env: dict[str, str], own: dict[str, str], count: int
) -> Iterator[ImportDecision]:
    where = placed_source.source.env_where
    shared = format_names(name for name in env if name not in own)
    if shared:
        what = f"{shared} of `{placed_source.machine}` are in `defaults.env`"
        others = "no other source has different values; " if count > 1 else ""
        yield ImportDecision(where, what, f"{others}every agent of the fleet gets them")
    if own:
        what = f"{format_names(own)} are in the `env` of each agent of `{placed_source.machine}`"
        yield ImportDecision(where, what, "another source has different values")


def _python_path_decisions(placed_source: PlacedSource) -> Iterator[ImportDecision]:
    """Yield the changes of PYTHONPATH for the source and for its agents."""
    why = "that folder does not exist; this is the root of the tree, relative to the working folder"
    source = placed_source.source
    if _has_missing_python_path(source.env, placed_source.cwd):
        path = relative_path(placed_source.root, placed_source.cwd)
        what = f"`{_PYTHONPATH}: {source.env[_PYTHONPATH]}` becomes `{path}`"
        yield ImportDecision(source.env_where, what, why)
    fixed = [
        agent
        for agent in source.agents
        if _has_missing_python_path(agent.env, working_dir_of(agent, placed_source.root))
    ]
    if fixed:
        first = fixed[0]
        path = relative_path(placed_source.root, working_dir_of(first, placed_source.root))
        names = format_names(agent.name for agent in fixed)
        what = f"`{_PYTHONPATH}: {first.env[_PYTHONPATH]}` of {names} becomes `{path}`"
        yield ImportDecision(first.where, what, why)


def _unexpanded_decisions(source: ImportSource) -> Iterator[ImportDecision]:
    for name, value in source.env.items():
        if name != _PYTHONPATH and re.search(r"\$[A-Za-z_{(]", value):
            why = "variables are not expanded there: write the value"
            yield ImportDecision(source.env_where, f"`{name}: {value}` is unchanged", why)
