"""Runs external programs such as apt and pip; errors include their output."""

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
    """Return the path of a program. Raises MissingError: it is not on PATH."""
    found = shutil.which(name)
    if found is None:
        raise MissingError(Fault(name, "program-missing", f"there is no program `{name}` on PATH", hint))
    return found


def run_unchecked(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command with an empty stdin and return its exit code and output."""
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def run_program(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, hint: str = ""
) -> str:
    """Run a command and return its output. hint: of the error when it fails.

    Raises RefusedError: the command failed; with its last lines. Raises OSError: it failed on a full disk.
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
