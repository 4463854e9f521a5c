"""Runs git on a tree safely: no program named in the repository's configuration is executed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# Folders that are ignored nearly everywhere, or that contain copies of other files.
_SKIPPED_FOLDERS: Final = frozenset(
    {".git", ".argosy", "__pycache__", ".venv", "node_modules", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
)


def run_git(
    folder: str | os.PathLike[str],
    *arguments: str,
    data: bytes = b"",
    variables: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run git in a folder and return the completed process with its output.

    data: its standard input.
    variables: added to the environment of this process without the variables that name a repository.

    Raises FileNotFoundError: git or the folder does not exist.
    """
    # The configuration of an untrusted repository may name programs, which git would run.
    safe = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]
    # In a hook, git sets variables for its repository and index, which may not be this one.
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith("GIT_CONFIG")
    }
    env |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}  # do not refresh the index; English messages
    env |= variables or {}
    return subprocess.run(["git", *safe, *arguments], cwd=folder, env=env, input=data, capture_output=True)


def tree_files(root: str | os.PathLike[str]) -> list[str]:
    """Return the files of a tree, relative and sorted: all that git does not ignore, else all but caches.

    Symbolic links are included, also those to folders and broken ones.
    """
    root = Path(root)
    if (listed := _listed_by_git(root)) is not None:
        return sorted(path for path in listed if os.path.lexists(root / path) and not _is_skipped(path))
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in _SKIPPED_FOLDERS]
        found += [os.path.relpath(os.path.join(folder, name), root) for name in names]
        found += [
            os.path.relpath(os.path.join(folder, name), root)
            for name in folders
            if os.path.islink(os.path.join(folder, name))
        ]
    return sorted(path for path in found if not path.endswith(".pyc"))


def _listed_by_git(root: Path) -> list[str] | None:
    try:
        completed = run_git(root, "ls-files", "-coz", "--exclude-standard")
    except OSError:
        return None
    if completed.returncode:
        return None
    return [os.fsdecode(each) for each in dict.fromkeys(completed.stdout.split(b"\0")) if each]


def _is_skipped(path: str) -> bool:
    return not _SKIPPED_FOLDERS.isdisjoint(path.split("/"))
