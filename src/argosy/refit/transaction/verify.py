"""The project's own command as the last gate, and which file is to blame when it fails."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence

import msgspec

from argosy.fault import Fault, InputError

_TAIL_LINES = 15


class CommandResult(msgspec.Struct, frozen=True):
    """How a command ended. output: the end of what it said."""

    succeeded: bool
    output: str


def run_command(command: str, root: str) -> CommandResult:
    """Run the project's command in its tree.

    Bytecode is not written: files change here several times within a second, and their stale
    bytecode would be taken for theirs.
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
    """Run the command on the tree as it is.

    Raises InputError: it fails already, so that it could not judge a rewrite.
    """
    result = run_command(command, root)
    if not result.succeeded:
        message = f"`{command}` fails before anything has changed:\n{result.output}"
        raise InputError(Fault("--verify", "verify", message, "mend that first, or name another command"))


def bisect_failures(
    paths: Sequence[str], succeeds: Callable[[Sequence[str]], bool]
) -> tuple[list[str], list[str]]:
    """Return the files that may stay rewritten together, and those that the command fails with.

    is_good: tells whether the command succeeds when exactly these files are rewritten. Asked for the whole
    first, then for halves beside what is known to be good; so several guilty ones are found, and
    files that only fail together lose the later of them.
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
