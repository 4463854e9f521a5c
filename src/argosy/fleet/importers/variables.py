"""The variables that sources set for all their agents: what holds for the whole fleet, what for some."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from argosy.fleet.importers.found import Decision, Source
from argosy.fleet.importers.locate import relative, working_folder
from argosy.fleet.importers.sites import Site

_PATH = "PYTHONPATH"


class Shared(msgspec.Struct, frozen=True):
    """Variables for every agent, and for each source those that its agents alone get."""

    everywhere: dict[str, str]
    by_source: tuple[dict[str, str], ...]
    decisions: tuple[Decision, ...]


def share(sites: Sequence[Site]) -> Shared:
    """Return where each variable goes: to all agents unless two sources disagree about it."""
    envs = [mend_path(site.source.env, site.root, site.cwd) for site in sites]
    names = dict.fromkeys(name for env in envs for name in env)
    everywhere = {name: value for name in names if (value := _agreed(name, envs)) is not None}
    own = tuple({name: value for name, value in env.items() if name not in everywhere} for env in envs)
    decisions: list[Decision] = []
    for site, env, left in zip(sites, envs, own, strict=True):
        decisions += [*_tell_paths(site), *_tell_unfilled(site.source)]
        decisions += _tell_shares(site, env, left, len(sites))
    return Shared(everywhere, own, tuple(decisions))


def mend_path(env: dict[str, str], root: Path, cwd: Path) -> dict[str, str]:
    """Return variables whose PYTHONPATH, where it names no folder that is here, is the root of the tree.

    It is written relative to `cwd`: the interpreter makes it absolute when it starts.
    """
    return {**env, _PATH: relative(root, cwd)} if _is_elsewhere(env, cwd) else env


def _is_elsewhere(env: dict[str, str], cwd: Path) -> bool:
    """Return whether there is a PYTHONPATH and none of its folders is here; `$NAME` in one is no folder."""
    parts = env.get(_PATH, "").split(os.pathsep)
    return _PATH in env and not any(part and "$" not in part and (cwd / part).is_dir() for part in parts)


def _agreed(name: str, envs: Sequence[dict[str, str]]) -> str | None:
    values = {env[name] for env in envs if name in env}
    return values.pop() if len(values) == 1 else None


def _tell_shares(site: Site, env: dict[str, str], own: dict[str, str], count: int) -> Iterator[Decision]:
    where = site.source.env_where
    shared = ", ".join(f"`{name}`" for name in env if name not in own)
    if shared:
        what = f"{shared} of `{site.machine}` stand under `defaults.env`"
        others = "no other source says otherwise; " if count > 1 else ""
        yield Decision(where, what, f"{others}every agent of the fleet gets them")
    if own:
        names = ", ".join(f"`{name}`" for name in own)
        what = f"{names} stand in the `env` of each agent of `{site.machine}`"
        yield Decision(where, what, "another source gives them other values")


def _tell_paths(site: Site) -> Iterator[Decision]:
    """Yield what became of a PYTHONPATH of the source, and of those of its agents."""
    why = "there is no such folder here; it is the root of the tree, seen from the working folder"
    source = site.source
    if _is_elsewhere(source.env, site.cwd):
        path = relative(site.root, site.cwd)
        yield Decision(source.env_where, f"`{_PATH}: {source.env[_PATH]}` is written as `{path}`", why)
    mended = [agent for agent in source.agents if _is_elsewhere(agent.env, working_folder(agent, site.root))]
    if mended:
        first = mended[0]
        path = relative(site.root, working_folder(first, site.root))
        names = ", ".join(f"`{agent.name}`" for agent in mended)
        yield Decision(first.where, f"`{_PATH}: {first.env[_PATH]}` of {names} is written as `{path}`", why)


def _tell_unfilled(source: Source) -> Iterator[Decision]:
    for name, value in source.env.items():
        if name != _PATH and re.search(r"\$[A-Za-z_{(]", value):
            why = "nothing fills in variables there: write the value"
            yield Decision(source.env_where, f"`{name}: {value}` stands as it is", why)
