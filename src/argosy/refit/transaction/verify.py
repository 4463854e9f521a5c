"""Runs the user's `--verify` command, and finds the files with which it fails."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence

import msgspec

from argosy.fault import Fault, InputError

_TAIL_LINES = 15


class CommandResult(msgspec.Struct, frozen=True):
    """The result of a command. output: its last lines."""

    succeeded: bool
    output: str


def run_command(command: str, root: str) -> CommandResult:
    """Run a command in a tree.

    Python writes no bytecode: files change several times within a second here, so that stale bytecode would
    be used.
    """
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            command,
            shell=True,
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
        output.seek(0, os.SEEK_END)
        output.seek(max(0, output.tell() - 16_000))
        text = output.read().decode("utf-8", "replace")
    return CommandResult(done.returncode == 0, "\n".join(text.splitlines()[-_TAIL_LINES:]))


def require_success(command: str, root: str) -> None:
    """Run the command on the unchanged tree.

    Raises InputError: it fails, so it cannot be used to verify changes.
    """
    result = run_command(command, root)
    if not result.succeeded:
        message = f"`{command}` fails before anything has changed:\n{result.output}"
        raise InputError(Fault("--verify", "verify", message, "fix that first, or use another command"))


def bisect_failures(
    paths: Sequence[str], succeeds: Callable[[Sequence[str]], bool]
) -> tuple[list[str], list[str]]:
    """Return the files that can be rewritten together, and those with which the command fails.

    succeeds: returns whether the command succeeds when exactly these files are rewritten. It is called for
    all files first, then for halves in addition to the passing files; so several failing files are found,
    and of files that fail only together the later one fails.
    """
    passing: list[str] = []
    failing: list[str] = []
    todo = [list(paths)]
    while todo:
        batch = todo.pop()
        if not batch:
            continue
        if succeeds([*passing, *batch]):
            passing += batch
        elif len(batch) == 1:
            failing += batch
        else:
            middle = len(batch) // 2
            todo += [batch[middle:], batch[:middle]]
    return passing, failing
