"""The provenance of a value: the commit, whether files differ from it, and the machine."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache

import msgspec

from argosy.fault import Fault, InputError, MissingError
from argosy.source.git_tree import run_git


class TreeRevision(msgspec.Struct, frozen=True):
    """A revision of the tree. commit: the full hash, empty outside of git. is_dirty: files differ from it."""

    commit: str
    is_dirty: bool


class MachineIdentity(msgspec.Struct, frozen=True):
    """The kind of machine, for comparing measured times and sizes. id: a digest of `text`."""

    id: str
    text: str


@cache
def identify_machine() -> MachineIdentity:
    """Return the identity of this machine: processor, cores, memory, system, interpreter."""
    model = _first_value("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()
    memory_kib = int((_first_value("/proc/meminfo", "MemTotal") or "0").split()[0])
    text = (
        f"{os.cpu_count()} x {model}, {round(memory_kib / 2**20)} GiB, {platform.system()} "
        f"{platform.release().split('-')[0]}, {platform.python_implementation()} {platform.python_version()}"
    )
    return MachineIdentity(hashlib.blake2b(text.encode(), digest_size=4).hexdigest(), text)


def _first_value(path: str, key: str) -> str:
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    return ""


def read_revision(directory: str, excluded: tuple[str, ...] = ()) -> TreeRevision:
    """Return the commit of a directory, and whether files except `excluded` differ from it."""
    try:
        commit = _git_output(directory, "rev-parse", "HEAD").strip()
        without = [f":(exclude){os.path.relpath(path, directory)}" for path in excluded]
        changed = _git_output(directory, "status", "--porcelain", "--", ".", *without)
    except (subprocess.CalledProcessError, OSError):
        return TreeRevision("", True)
    return TreeRevision(commit, bool(changed.strip()))


def resolve_commit(directory: str, name: str) -> str:
    """Return the full hash of a commit, branch or tag.

    Raises InputError: there is no such commit. Raises MissingError: git is not installed.
    """
    try:
        return _git_output(
            directory, "rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}"
        ).strip()
    except FileNotFoundError:
        hint = "install git, or remove the commits"
        raise MissingError(
            Fault(name, "no-git", "a commit needs git, which is not installed", hint)
        ) from None
    except subprocess.CalledProcessError:
        hint = "name a commit, a branch or a tag; `git fetch --unshallow` completes a shallow clone"
        raise InputError(
            Fault(name, "no-commit", f"there is no commit `{name}` in `{directory}`", hint)
        ) from None


@contextlib.contextmanager
def worktree(directory: str, commit: str) -> Iterator[str]:
    """Check out a directory at a commit in a temporary work tree, and yield its path.

    Raises InputError: the directory does not exist at that commit.
    """
    top = _git_output(directory, "rev-parse", "--show-toplevel").strip()
    inside = os.path.relpath(os.path.realpath(directory), os.path.realpath(top))
    place = tempfile.mkdtemp(prefix="argosy-track-")
    checkout = os.path.join(place, "tree")
    try:
        _git_output(directory, "worktree", "add", "--detach", "--quiet", checkout, commit)
        found = os.path.normpath(os.path.join(checkout, inside))
        if not os.path.isdir(found):
            message = f"`{inside}` does not exist at {commit[:12]}"
            raise InputError(Fault(commit[:12], "no-folder", message, "name a later commit"))
        yield found
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            _git_output(directory, "worktree", "remove", "--force", checkout)
        shutil.rmtree(place, ignore_errors=True)


def _git_output(directory: str, *arguments: str) -> str:
    """Return git's output. Raises CalledProcessError: it fails; FileNotFoundError: git is not installed."""
    done = run_git(directory, *arguments)
    done.check_returncode()
    return done.stdout.decode("utf-8", "surrogateescape")
