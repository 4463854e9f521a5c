"""Finds the files of a tree that differ from a git revision."""

from __future__ import annotations

from argosy.fault import Fault, InputError, MissingError
from argosy.source.git_tree import run_git


def find_changed_files(root: str, revision: str) -> frozenset[str]:
    """Return the files below `root` that differ from the merge base of `revision` and HEAD, relative to it.

    Untracked files count, ignored ones do not; committed, staged and unstaged changes count alike.

    Raises InputError: `root` is not in a git work tree, or git does not know the revision. Raises
    MissingError: git is not installed.
    """
    commit = _run_git(
        root, revision, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}"
    ).strip()
    try:
        base = _run_git(root, revision, "merge-base", commit, "HEAD").strip()
    except InputError:
        base = commit  # no common ancestor, or no HEAD yet
    listed = _run_git(
        root, revision, "diff", "--name-only", "-z", "--no-ext-diff", "--relative", base, "--", "."
    )
    untracked = _run_git(root, revision, "ls-files", "-z", "--others", "--exclude-standard")
    return frozenset(filter(None, (listed + untracked).split("\0")))


def _run_git(root: str, revision: str, *arguments: str) -> str:
    try:
        process = run_git(root, *arguments)
    except FileNotFoundError:
        message = "`--since` needs git, which is not on PATH"
        raise MissingError(Fault("--since", "no-git", message, "install git, or omit `--since`")) from None
    if process.returncode:
        error_line = process.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        message = f"git cannot find the changes since `{revision}`: {error_line}"
        raise InputError(Fault("--since", "unknown-revision", message, "name a commit, a branch or a tag"))
    return process.stdout.decode("utf-8", "surrogateescape")
