"""Command lines as files write them, turned into what a fleet file runs: a script, or a command.

`python agents/a.py --fast` is the script `agents/a.py` with an argument, so that it can be
checked, forked and measured; anything else stays the command it is.
"""

from __future__ import annotations

import re
import shlex

import msgspec

_PYTHON_EXECUTABLE = re.compile(r"^(?:.*/)?python(?:\d+(?:\.\d+)?)?$")
_ASSIGNMENT = re.compile(r"^([A-Za-z_]\w*)=(.*)$", re.DOTALL)
# What a shell would act upon outside quotes; `#` and `=` are harmless in the middle of a word.
_SHELL_SYNTAX = re.compile(r"[$`|&;<>()*?\[\]{}~\n]")


class CommandLine(msgspec.Struct, frozen=True):
    """What to run; `notes` are (what, why) pairs that the reader of the file should be told."""

    run: str | tuple[str, ...]
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    python: str | None = None
    notes: tuple[tuple[str, str], ...] = ()


def parse_argv(argv: tuple[str, ...]) -> CommandLine:
    """Return what the words of an exec-style command run; nothing in them is for a shell.

    Raises ValueError: there is no word to run.
    """
    argv, env = _strip_prefix(argv)
    if not argv:
        raise ValueError("the command has no word to run")
    if argv[0].endswith(".py"):
        note = (f"`{argv[0]}` runs with a Python interpreter", "its first line chose one until now")
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
    """Return what a line written for a shell runs: without a shell where it needs none.

    Raises ValueError: the quotes do not match, or there is nothing to run.
    """
    argv = tuple(shlex.split(text))
    if _needs_shell(text):
        note = (
            "the command runs through `sh -c`",
            "it uses what only a shell understands; the shell, not the program, is what argosy watches",
        )
        return CommandLine(("sh", "-c", text), notes=(note,))
    return parse_argv(argv)


def _needs_shell(text: str) -> bool:
    unquoted = re.sub(r"'[^']*'", "", text)
    in_double = "".join(re.findall(r'"(?:[^"\\]|\\.)*"', unquoted))
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", unquoted)
    return bool(_SHELL_SYNTAX.search(outside) or re.search(r"[$`]", in_double))


def _strip_prefix(argv: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Take `exec`, `env` and `NAME=value` off the front; return what is left and the variables."""
    env: dict[str, str] = {}
    while argv:
        assignment = _ASSIGNMENT.match(argv[0])
        if assignment:
            env[assignment[1]] = assignment[2]
        elif not (argv[0] in ("exec", "env") and len(argv) > 1 and not argv[1].startswith("-")):
            break
        argv = argv[1:]
    return argv, env
