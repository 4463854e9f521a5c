"""Runs the programs that building an image rests on; what they said comes with their failure."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from argosy.fault import Fault, MissingError, RefusedError

_TAIL = 6


def need_program(name: str, hint: str) -> str:
    """Return the path of a program. Raises MissingError: it is not there."""
    found = shutil.which(name)
    if found is None:
        raise MissingError(Fault(name, "no-program", f"there is no program `{name}` on PATH", hint))
    return found


def run_program(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """Run a command and return its output. Raises RefusedError: it failed; with its last lines."""
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-_TAIL:])
        message = f"`{shlex.join(command)[:160]}` ended with code {done.returncode}:\n{said}"
        raise RefusedError(Fault("", "program-failed", message))
    return done.stdout
