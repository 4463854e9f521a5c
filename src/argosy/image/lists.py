"""The requirement files and Dockerfiles of a tree: what its people install today, and where they say so."""

from __future__ import annotations

import fnmatch
import os
import posixpath
from collections.abc import Iterator

import msgspec

from argosy.fleet.dockerfile import read_instructions
from argosy.source.distributions import normalized
from argosy.source.installs import DOCKERFILES, LISTS, Installs, read_image, read_list
from argosy.source.text import Source, read_source

_CLOSED = frozenset({"node_modules", "__pycache__", "site-packages", "venv", "env", "build", "dist"})


class Asked(msgspec.Struct, frozen=True):
    """What the lists of a tree ask for.

    places: distribution, normalised, to each `path:line` that installs it for running. shown: as written
    first. projects: distributions that the tree itself is.
    """

    places: dict[str, tuple[str, ...]]
    shown: dict[str, str]
    projects: frozenset[str] = frozenset()


def read_lists(root: str) -> Asked:
    """Return what the lists below `root` ask for; folders of tools and hidden ones are not looked into."""
    places: dict[str, list[str]] = {}
    shown: dict[str, str] = {}
    projects: set[str] = set()
    for path in sorted(_find(root)):
        held = _read(root, path)
        if held is None:
            continue
        if held.asked.project:
            projects.add(normalized(held.asked.project))
        for item in held.asked.packages:
            places.setdefault(item.name, []).append(f"{path}:{item.line}")
            shown.setdefault(item.name, item.shown)
    return Asked({name: tuple(found) for name, found in places.items()}, shown, frozenset(projects))


def _read(root: str, path: str) -> Installs | None:
    source = read_source(os.path.join(root, path))
    if not isinstance(source, Source):
        return None
    if _is_one_of(path, LISTS):
        return read_list(path, source.text())
    return read_image(read_instructions(source.text()))


def _find(root: str) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _CLOSED]
        below = os.path.relpath(folder, root)
        for name in files:
            path = name if below == "." else posixpath.join(below, name)
            if _is_one_of(path, LISTS) or _is_one_of(path, DOCKERFILES):
                yield path


def _is_one_of(path: str, patterns: tuple[str, ...]) -> bool:
    base = posixpath.basename(path)
    return any(
        fnmatch.fnmatchcase(path, f"*{pattern}") if "/" in pattern else fnmatch.fnmatchcase(base, pattern)
        for pattern in patterns
    )
