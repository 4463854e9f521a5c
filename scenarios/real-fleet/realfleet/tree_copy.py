"""Copies the tree into the folder of the run, and finds changed files by digest."""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import tarfile
from pathlib import Path
from typing import Final

from realfleet.progress import ScenarioError

_NOT_TAKEN: Final = shutil.ignore_patterns(".git", ".argosy", "__pycache__", ".venv")
# Written by argosy's verbs; the manifests of the runs list the changes.
_OWN: Final = frozenset({".argosy", "fleet.yaml"})


def copy_tree(source: Path, place: Path) -> None:
    """Copy a folder, or unpack an archive, to `place`. Raises ScenarioError: `source` is neither."""
    if source.is_dir():
        shutil.copytree(source, place, symlinks=True, ignore=_NOT_TAKEN)
        return
    if not source.is_file():
        raise ScenarioError(f"there is no tree `{source}`", "give a folder, or a tar archive of one")
    place.mkdir(parents=True)
    try:
        with tarfile.open(source) as archive:  # `tar` would need `xz`
            archive.extraction_filter = lambda member, _: member
            archive.extractall(place)
    except (tarfile.TarError, OSError, EOFError, lzma.LZMAError) as error:
        raise ScenarioError(f"`{source}` cannot be unpacked: {error}") from None


def digests(root: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a tree by its path, without argosy's own files."""
    found = {}
    for folder, folders, files in os.walk(root):
        if Path(folder) == root:
            folders[:] = [each for each in folders if each not in _OWN]
        for name in files:
            path = Path(folder, name)
            relative = str(path.relative_to(root))
            if relative not in _OWN and path.is_file() and not path.is_symlink():
                found[relative] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def changed_files(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """Return the paths that differ, were added or were removed."""
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
