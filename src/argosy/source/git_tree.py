"""What git knows of a tree; asked so that nothing which the tree's own settings name is run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# No tree's own: what git ignores nearly everywhere, and what holds copies of others' files.
_SKIPPED_FOLDERS: Final = frozenset(
    {".git", ".argosy", "__pycache__", ".venv", "node_modules", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
)


def run_git(
    folder: str | os.PathLike[str],
    *arguments: str,
    data: bytes = b"",
    variables: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run git in a folder with this input, and return how it ended and what it said.

    variables: of its environment, beside those of this process that do not name a repository.

    Raises FileNotFoundError: there is no git, or no such folder.
    """
    # The settings of a stranger's repository may name programs to run; these would be.
    safe = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]
    # In a hook git names the repository and the index that it works on; this one may be another.
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith("GIT_CONFIG")
    }
    env |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}  # looking changes nothing; messages are read
    env |= variables or {}
    return subprocess.run(["git", *safe, *arguments], cwd=folder, env=env, input=data, capture_output=True)


def tree_files(root: str | os.PathLike[str]) -> list[str]:
    """Return the files of a tree, relative and sorted: what git would take, else all but caches.

    Links are files too, also those that lead to folders or nowhere.
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
        done = run_git(root, "ls-files", "-coz", "--exclude-standard")
    except OSError:
        return None
    if done.returncode:
        return None
    return [os.fsdecode(each) for each in dict.fromkeys(done.stdout.split(b"\0")) if each]


def _is_skipped(path: str) -> bool:
    return not _SKIPPED_FOLDERS.isdisjoint(path.split("/"))
