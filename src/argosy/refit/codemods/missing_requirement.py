"""Finds the requirement files that name pyzmq, and so must name argosy after a refit."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Final

import msgspec

from argosy import __version__

_REQUIREMENT_FILES: Final = re.compile(
    r"(?:.*requirements.*\.(?:txt|in)|pyproject\.toml|setup\.(?:py|cfg)|Pipfile|environment\.ya?ml)"
)
_PYZMQ: Final = re.compile(r"^[^#]*\bpyzmq\b", re.IGNORECASE)
_ARGOSY: Final = re.compile(r"^[^#]*\bargosy\b", re.IGNORECASE)
_MAX_BYTES: Final = 1_000_000


class MissingRequirement(msgspec.Struct, frozen=True):
    """The requirement to add, and the places (path and line) that name pyzmq without argosy."""

    specifier: str
    places: tuple[str, ...]


def find_missing_requirement(root: str, directories: Iterable[str]) -> MissingRequirement:
    """Return the requirement of refitted files, and the files in `directories` that lack it."""
    places = []
    for directory in sorted(directories):
        for name in _list_directory(os.path.join(root, directory)):
            if _REQUIREMENT_FILES.fullmatch(name):
                path = f"{directory}/{name}" if directory else name
                places += [f"{path}:{line}" for line in _lines_naming_pyzmq(os.path.join(root, path))]
    return MissingRequirement(f"argosy>={__version__}", tuple(places))


def _list_directory(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def _lines_naming_pyzmq(path: str) -> list[int]:
    try:
        if not os.path.isfile(path) or os.path.getsize(path) > _MAX_BYTES:
            return []
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    if any(_ARGOSY.search(line) for line in lines):
        return []
    return [number for number, line in enumerate(lines, 1) if _PYZMQ.search(line)][:1]
