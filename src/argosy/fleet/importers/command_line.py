"""Converts command lines to a script or a command of a fleet file.

`python agents/a.py --fast` becomes the script `agents/a.py` with an argument, so that it can be
checked, forked and measured; anything else stays a command.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator

import msgspec

from argosy.fault import Fault, InputError

_PYTHON_EXECUTABLE = re.compile(r"^(?:.*/)?python(?:\d+(?:\.\d+)?)?$")
_ASSIGNMENT = re.compile(r"^([A-Za-z_]\w*)=(.*)$", re.DOTALL)
# Characters that a shell interprets outside quotes; `#` and `=` are literal within a word.
_SHELL_SYNTAX = re.compile(r"[$`|&;<>()*?\[\]{}~\n]")


class CommandLine(msgspec.Struct, frozen=True):
    """What to run; `notes` are (what, why) pairs for comments in the fleet file."""

    run: str | tuple[str, ...]
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    python: str | None = None
    notes: tuple[tuple[str, str], ...] = ()


def parse_argv(argv: tuple[str, ...]) -> CommandLine:
    """Return what an argument list runs without a shell.

    Raises ValueError: it names no program.
    """
    argv, env = _strip_prefix(argv)
    if not argv:
        raise ValueError("the command names no program")
    if argv[0].endswith(".py"):
        note = (f"`{argv[0]}` runs with a Python interpreter", "its first line (`#!`) is not used")
        return CommandLine(argv[0], argv[1:], env, notes=(note,))
    if not _PYTHON_EXECUTABLE.match(argv[0]):
        return CommandLine(argv, env=env)
    rest = argv[1:]
    if rest[:1] == ("-u",):
        rest, env = rest[1:], {**env, "PYTHONUNBUFFERED": "1"}
    if not rest or not rest[0].endswith(".py") or rest[0].startswith("-"):
        return CommandLine(
            argv, env={name: value for name, value in env.items() if name != "PYTHONUNBUFFERED"}
        )
    python = None if argv[0] in ("python", "python3") else argv[0]
    return CommandLine(rest[0], rest[1:], env, python)


def parse_shell_command(text: str) -> CommandLine:
    """Return what a shell command runs, without the shell if it uses no shell syntax.

    Raises ValueError: the quotes do not match, or it names no program.
    """
    argv = tuple(shlex.split(text))
    if _needs_shell(text):
        note = (
            "the command runs through `sh -c`",
            "it uses shell syntax; argosy monitors the shell, not the program",
        )
        return CommandLine(("sh", "-c", text), notes=(note,))
    return parse_argv(argv)


def _needs_shell(text: str) -> bool:
    unquoted = re.sub(r"'[^']*'", "", text)
    in_double = "".join(re.findall(r'"(?:[^"\\]|\\.)*"', unquoted))
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", unquoted)
    return bool(_SHELL_SYNTAX.search(outside) or re.search(r"[$`]", in_double))


def _strip_prefix(argv: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Remove `exec`, `env` and `NAME=value` from the front; return the rest and the variables."""
    env: dict[str, str] = {}
    while argv:
        assignment = _ASSIGNMENT.match(argv[0])
        if assignment:
            env[assignment[1]] = assignment[2]
        elif not (argv[0] in ("exec", "env") and len(argv) > 1 and not argv[1].startswith("-")):
            break
        argv = argv[1:]
    return argv, env


@contextlib.contextmanager
def command_error(where: str, subject: str, found: object) -> Iterator[None]:
    """Raise the ValueError of a parser in the block as an InputError at `where`.

    subject: what was parsed, for the message. found: its value.
    """
    try:
        yield
    except ValueError as error:
        message = f"{subject} cannot be read: {str(error).lower()}: `{found}`"
        raise InputError(Fault(where, "bad-command", message)) from error


def is_true_word(value: object) -> bool:
    """Return whether a value is true; `false`, `no`, `off`, `0` and null are not."""
    return value is not None and str(value).strip().lower() not in ("false", "no", "off", "0")
