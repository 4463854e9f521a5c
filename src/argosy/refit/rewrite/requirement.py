"""Which file of a project names the packages that it needs, and so has to name argosy now."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Final

import msgspec

from argosy import __version__

_FILES: Final = re.compile(
    r"(?:.*requirements.*\.(?:txt|in)|pyproject\.toml|setup\.(?:py|cfg)|Pipfile|environment\.ya?ml)"
)
_PYZMQ: Final = re.compile(r"^[^#]*\bpyzmq\b", re.IGNORECASE)
_ARGOSY: Final = re.compile(r"^[^#]*\bargosy\b", re.IGNORECASE)
_MOST_BYTES: Final = 1_000_000


class Requirement(msgspec.Struct, frozen=True):
    """What to add, and where pyzmq is named without argosy: paths with lines."""

    add: str
    beside: tuple[str, ...]


def find_requirement(root: str, folders: Iterable[str]) -> Requirement:
    """Return which requirement the refitted files need, and in which files of `folders` it is missing."""
    beside = []
    for folder in sorted(folders):
        for name in _listed(os.path.join(root, folder)):
            if _FILES.fullmatch(name):
                path = f"{folder}/{name}" if folder else name
                beside += [f"{path}:{line}" for line in _lines(os.path.join(root, path))]
    return Requirement(f"argosy>={__version__}", tuple(beside))


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _lines(path: str) -> list[int]:
    try:
        if not os.path.isfile(path) or os.path.getsize(path) > _MOST_BYTES:
            return []
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    if any(_ARGOSY.search(line) for line in lines):
        return []
    return [number for number, line in enumerate(lines, 1) if _PYZMQ.search(line)][:1]
