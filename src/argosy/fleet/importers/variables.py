"""The variables that sources set for all their agents: what holds for the whole fleet, what for some."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from argosy.fleet.importers.found import Decision, Source
from argosy.fleet.importers.locate import relative

_PATH = "PYTHONPATH"


class Shared(msgspec.Struct, frozen=True):
    """Variables for every agent, and for each source those that its agents alone get."""

    everywhere: dict[str, str]
    by_source: tuple[dict[str, str], ...]
    decisions: tuple[Decision, ...]


def share(
    sources: Sequence[Source], roots: Sequence[Path], cwds: Sequence[Path], machines: Sequence[str]
) -> Shared:
    """Return where each variable goes: to all agents unless two sources disagree about it.

    roots: of each source's tree. cwds: the working folder of each source's agents.
    """
    decisions: list[Decision] = []
    envs: list[dict[str, str]] = []
    for source, root, cwd in zip(sources, roots, cwds, strict=True):
        env, told = _local(source, root, cwd)
        envs.append(env)
        decisions += told
    names = dict.fromkeys(name for env in envs for name in env)
    everywhere = {name: value for name in names if (value := _agreed(name, envs)) is not None}
    own = tuple({name: value for name, value in env.items() if name not in everywhere} for env in envs)
    for source, env, left, machine in zip(sources, envs, own, machines, strict=True):
        decisions += _tell(source, env, left, machine, len(sources))
    return Shared(everywhere, own, tuple(decisions))


def _agreed(name: str, envs: Sequence[dict[str, str]]) -> str | None:
    values = {env[name] for env in envs if name in env}
    return values.pop() if len(values) == 1 else None


def _tell(
    source: Source, env: dict[str, str], own: dict[str, str], machine: str, count: int
) -> list[Decision]:
    shared = [f"`{name}`" for name in env if name not in own]
    decisions: list[Decision] = []
    if shared:
        what = f"{', '.join(shared)} of `{machine}` stand under `defaults.env`"
        why = (
            "no other source says otherwise; every agent of the fleet gets them"
            if count > 1
            else "every agent gets them"
        )
        decisions.append(Decision(source.env_where, what, why))
    if own:
        names = ", ".join(f"`{name}`" for name in own)
        what = f"{names} stand in the `env` of each agent of `{machine}`"
        decisions.append(Decision(source.env_where, what, "another source gives them other values"))
    return decisions


def _local(source: Source, root: Path, cwd: Path) -> tuple[dict[str, str], list[Decision]]:
    """Return the variables of a source as they hold on this machine."""
    env = dict(source.env)
    decisions: list[Decision] = []
    path = env.get(_PATH)
    if path is not None and not _exists(path, cwd):
        env[_PATH] = relative(root, cwd)
        what = f"`{_PATH}: {path}` is written as `{env[_PATH]}`, the root of the tree from the working folder"
        decisions.append(Decision(source.env_where, what, "there is no such folder here"))
    for name, value in env.items():
        if name != _PATH and re.search(r"\$[A-Za-z_{(]", value):
            what = f"`{name}: {value}` stands as it is"
            decisions.append(
                Decision(source.env_where, what, "nothing fills in variables there: write the value")
            )
    return env, decisions


def _exists(path: str, cwd: Path) -> bool:
    """Return whether a search path names a folder that is there; `$NAME` in it is none."""
    return any(part and "$" not in part and (cwd / part).is_dir() for part in path.split(os.pathsep))
