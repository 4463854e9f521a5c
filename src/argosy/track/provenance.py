"""Where and on what a value was measured: the commit, what differs from it, and the machine."""

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
    """A state of the tree. commit: full, empty outside of git. is_dirty: files differ from it."""

    commit: str
    is_dirty: bool


class MachineIdentity(msgspec.Struct, frozen=True):
    """What makes two machines the same for a measured time or size. id: a digest of `text`."""

    id: str
    text: str


@cache
def identify_machine() -> MachineIdentity:
    """Return what this machine is: processor, cores, memory, system, interpreter."""
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
    """Return the commit of a folder, and whether files differ from it; those in `left_out` do not count."""
    try:
        commit = _git_output(directory, "rev-parse", "HEAD").strip()
        without = [f":(exclude){os.path.relpath(path, directory)}" for path in excluded]
        changed = _git_output(directory, "status", "--porcelain", "--", ".", *without)
    except (subprocess.CalledProcessError, OSError):
        return TreeRevision("", True)
    return TreeRevision(commit, bool(changed.strip()))


def resolve_commit(directory: str, name: str) -> str:
    """Return the full commit that a name stands for.

    Raises InputError: git knows no such commit. Raises MissingError: there is no git.
    """
    try:
        return _git_output(
            directory, "rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}"
        ).strip()
    except FileNotFoundError:
        hint = "install git, or leave commits out"
        raise MissingError(
            Fault(name, "no-git", "a commit is asked for, and there is no git", hint)
        ) from None
    except subprocess.CalledProcessError:
        hint = "name a commit, a branch or a tag; a shallow clone gets its past by `git fetch --unshallow`"
        raise InputError(
            Fault(name, "no-commit", f"git knows no commit `{name}` in `{directory}`", hint)
        ) from None


@contextlib.contextmanager
def worktree(directory: str, commit: str) -> Iterator[str]:
    """Have the folder as it was at a commit, in a work tree of its own; gone again at the end.

    Raises InputError: the folder was not there at that commit.
    """
    top = _git_output(directory, "rev-parse", "--show-toplevel").strip()
    inside = os.path.relpath(os.path.realpath(directory), os.path.realpath(top))
    place = tempfile.mkdtemp(prefix="argosy-track-")
    checkout = os.path.join(place, "tree")
    try:
        _git_output(directory, "worktree", "add", "--detach", "--quiet", checkout, commit)
        found = os.path.normpath(os.path.join(checkout, inside))
        if not os.path.isdir(found):
            message = f"`{inside}` was not there at {commit[:12]}"
            raise InputError(Fault(commit[:12], "no-folder", message, "name a later commit"))
        yield found
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            _git_output(directory, "worktree", "remove", "--force", checkout)
        shutil.rmtree(place, ignore_errors=True)


def _git_output(directory: str, *arguments: str) -> str:
    """Return what git says. Raises CalledProcessError: it fails; FileNotFoundError: there is none."""
    done = run_git(directory, *arguments)
    done.check_returncode()
    return done.stdout.decode("utf-8", "surrogateescape")
