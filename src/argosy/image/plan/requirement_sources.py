"""Reads the requirement files and Dockerfiles of a tree: which packages they install, and where."""

from __future__ import annotations

import fnmatch
import os
import posixpath
from collections.abc import Iterator

import msgspec

from argosy.fleet.dockerfile import read_instructions
from argosy.source.distributions import normalize_name
from argosy.source.install_manifests import (
    DOCKERFILE_PATTERNS,
    INSTALL_FILE_PATTERNS,
    FileInstalls,
    read_dockerfile_installs,
    read_install_file,
)
from argosy.source.python_source import SourceText, read_source

_SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__", "site-packages", "venv", "env", "build", "dist"})


class RequestedPackages(msgspec.Struct, frozen=True):
    """The packages that files of a tree install.

    places: normalised distribution to each `path:line` that installs it at run time. spellings: normalised
    distribution to its first spelling. projects: distributions that the tree itself defines.
    """

    places: dict[str, tuple[str, ...]]
    spellings: dict[str, str]
    projects: frozenset[str] = frozenset()


def read_requirement_sources(root: str) -> RequestedPackages:
    """Return the packages that files below `root` install; tool folders and hidden folders are skipped."""
    places: dict[str, list[str]] = {}
    spellings: dict[str, str] = {}
    projects: set[str] = set()
    for path in sorted(_find_sources(root)):
        installs = _read_installs(root, path)
        if installs is None:
            continue
        if installs.requirements.project:
            projects.add(normalize_name(installs.requirements.project))
        for item in installs.requirements.packages:
            places.setdefault(item.name, []).append(f"{path}:{item.line}")
            spellings.setdefault(item.name, item.written_name)
    return RequestedPackages(
        {name: tuple(found) for name, found in places.items()}, spellings, frozenset(projects)
    )


def _read_installs(root: str, path: str) -> FileInstalls | None:
    source = read_source(os.path.join(root, path))
    if not isinstance(source, SourceText):
        return None
    if _matches_any(path, INSTALL_FILE_PATTERNS):
        return read_install_file(path, source.text())
    return read_dockerfile_installs(read_instructions(source.text()))


def _find_sources(root: str) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _SKIPPED_FOLDERS]
        below = os.path.relpath(folder, root)
        for name in files:
            path = name if below == "." else posixpath.join(below, name)
            if _matches_any(path, INSTALL_FILE_PATTERNS) or _matches_any(path, DOCKERFILE_PATTERNS):
                yield path


def _matches_any(path: str, patterns: tuple[str, ...]) -> bool:
    base = posixpath.basename(path)
    return any(
        fnmatch.fnmatchcase(path, f"*{pattern}") if "/" in pattern else fnmatch.fnmatchcase(base, pattern)
        for pattern in patterns
    )
