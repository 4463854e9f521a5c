"""Runs the programs that building an image rests on; what they said comes with their failure."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from argosy.fault import Fault, MissingError, RefusedError

_OUTPUT_LINES = 6


def require_program(name: str, hint: str) -> str:
    """Return the path of a program. Raises MissingError: it is not there."""
    found = shutil.which(name)
    if found is None:
        raise MissingError(Fault(name, "no-program", f"there is no program `{name}` on PATH", hint))
    return found


def run_unchecked(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command, without a stdin, and return how it ended."""
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def run_program(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, hint: str = ""
) -> str:
    """Run a command and return its output. hint: what to do when it fails.

    Raises RefusedError: it failed; with its last lines. Raises OSError: it found no space on a disk.
    """
    done = run_unchecked(command, cwd=cwd, env=env)
    full = os.strerror(errno.ENOSPC)
    if done.returncode and full in done.stderr:
        raise OSError(errno.ENOSPC, f"`{shlex.join(command[:2])}`: {full}")
    if done.returncode:
        output = "\n".join((done.stderr or done.stdout).strip().splitlines()[-_OUTPUT_LINES:])
        message = f"`{shlex.join(command)[:160]}` ended with code {done.returncode}:\n{output}"
        raise RefusedError(Fault("", "program-failed", message, hint))
    return done.stdout
