"""Whether git has everything: a tree with changes of its own is left alone."""

from __future__ import annotations

from collections.abc import Collection

from argosy.fault import Fault, RefusedError
from argosy.refit.rewrite.run import FOLDER
from argosy.source.git import run_git

_MOST_SHOWN = 3


def unsaved(root: str, changing: Collection[str]) -> tuple[str, ...]:
    """Return the files below `root` that git has no copy of: changed, staged or unknown ones.

    changing: paths relative to `root` that are to be written; of files that git ignores only these count.
    Empty where there is no repository, or no git.
    Raises RefusedError: there is one, and git refuses to look at it.
    """
    try:
        done = run_git(root, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--", ".")
        paths = "\0".join(changing).encode("utf-8", "surrogateescape")
        ignored = run_git(root, "check-ignore", "-z", "--stdin", data=paths)
    except OSError:
        return ()
    if done.returncode:
        told = done.stderr.decode("utf-8", "replace").strip()
        if "not a git repository" in told:
            return ()
        message = f"git cannot tell what it has: {told.splitlines()[0] if told else done.returncode}"
        raise RefusedError(Fault(root, "git", message, "`--dirty` goes on without asking git"))
    records = iter(done.stdout.decode("utf-8", "surrogateescape").split("\0"))
    found = []
    for record in records:
        if record[:1] in ("R", "C"):
            next(records, "")  # where it was renamed from
        path = record[3:]
        if path and f"{FOLDER}/" not in f"/{path}":
            found.append(path)
    found += [path for path in ignored.stdout.decode("utf-8", "surrogateescape").split("\0") if path]
    return tuple(found)


def describe(paths: tuple[str, ...]) -> str:
    """Return such as `git has no copy of a.py, b.py and 3 more`."""
    shown = ", ".join(f"`{path}`" for path in paths[:_MOST_SHOWN])
    more = f" and {len(paths) - _MOST_SHOWN} more" if len(paths) > _MOST_SHOWN else ""
    return f"git has no copy of {shown}{more}"
