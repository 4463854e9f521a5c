"""Finds files to be written of which git has no copy, so that their changes are not lost."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

from argosy.fault import Fault, RefusedError
from argosy.source.git_tree import run_git

_MOST_SHOWN = 3


def find_uncommitted(root: str, changing: Collection[str]) -> tuple[str, ...]:
    """Return the files to be written that are modified, staged, untracked or ignored.

    changing: paths relative to `root`; other files are not checked.
    Empty when there is no repository or no git.
    Raises RefusedError: `git status` fails in the repository.
    """
    paths = "\0".join(changing)
    try:
        prefix = run_git(root, "rev-parse", "--show-prefix")
        done = run_git(root, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--", ".")
        ignored = run_git(root, "check-ignore", "-z", "--stdin", data=_bytes(paths))
    except OSError:
        return ()
    if done.returncode:
        stderr = done.stderr.decode("utf-8", "replace").strip()
        if "not a git repository" in stderr:
            return ()
        reason = stderr.splitlines()[0] if stderr else f"exit code {done.returncode}"
        message = f"`git status` fails: {reason}"
        raise RefusedError(Fault(root, "git", message, "`--dirty` skips the check with git"))
    inside = _text(prefix.stdout).removesuffix("\n")
    found = {path.removeprefix(inside) for path in _status_paths(_text(done.stdout))}
    found.update(filter(None, _text(ignored.stdout).split("\0")))
    wanted = set(changing)
    nested = [path for path in found - wanted if os.path.isdir(os.path.join(root, path))]
    return tuple(sorted(found & wanted)) + _find_uncommitted_nested(root, nested, wanted)


def _find_uncommitted_nested(
    root: str, repositories: Collection[str], changing: Collection[str]
) -> tuple[str, ...]:
    """Return the same for nested repositories, of which git reports only the folders."""
    found: list[str] = []
    for repository in repositories:
        start = f"{repository.rstrip('/')}/"
        nested = [path.removeprefix(start) for path in changing if path.startswith(start)]
        if nested:
            found += [start + path for path in find_uncommitted(os.path.join(root, repository), nested)]
    return tuple(sorted(found))


def _status_paths(status: str) -> Iterator[str]:
    """Yield the paths in the output of `git status`, relative to the repository."""
    records = iter(status.split("\0"))
    for record in records:
        if record[:1] in ("R", "C"):
            next(records, "")  # the old name
        if path := record[3:]:
            yield path


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(output: bytes) -> str:
    return output.decode("utf-8", "surrogateescape")


def describe_uncommitted(paths: tuple[str, ...]) -> str:
    """Return a text such as `git has no copy of a.py, b.py and 3 more`."""
    shown = ", ".join(f"`{path}`" for path in paths[:_MOST_SHOWN])
    more = f" and {len(paths) - _MOST_SHOWN} more" if len(paths) > _MOST_SHOWN else ""
    return f"git has no copy of {shown}{more}"
