"""Command lines: which become a script, and which stay a command."""

from __future__ import annotations

import pytest

from argosy.fleet.importers.command_line import CommandLine, parse_argv, parse_shell_command


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("python a.py", CommandLine("a.py")),
        ("python3 a.py --port 1", CommandLine("a.py", ("--port", "1"))),
        ("exec python a.py", CommandLine("a.py")),
        ("LOG='x y' python a.py", CommandLine("a.py", env={"LOG": "x y"})),
        ("env LOG=x python a.py", CommandLine("a.py", env={"LOG": "x"})),
        ("python -u a.py", CommandLine("a.py", env={"PYTHONUNBUFFERED": "1"})),
        ("/opt/venv/bin/python3.11 a.py", CommandLine("a.py", python="/opt/venv/bin/python3.11")),
        ("python3.9 a.py", CommandLine("a.py", python="python3.9")),
        ("python -m pkg.mod", CommandLine(("python", "-m", "pkg.mod"))),
        ("python -u -m pkg.mod", CommandLine(("python", "-u", "-m", "pkg.mod"))),
        ("python -O a.py", CommandLine(("python", "-O", "a.py"))),
        ("redis-server --port 6379", CommandLine(("redis-server", "--port", "6379"))),
        ("echo '$HOME;'", CommandLine(("echo", "$HOME;"))),
        ('echo "a;b"', CommandLine(("echo", "a;b"))),
    ],
)
def test_command_without_shell_syntax_runs_without_shell(text: str, expected: CommandLine) -> None:
    assert parse_shell_command(text) == expected


@pytest.mark.parametrize(
    "text",
    ["a | b", "cd x && python a.py", "a > log", "a $HOME", 'a "$HOME"', "a `b`", "a *.py", "(a)", "a; b"],
)
def test_command_with_shell_syntax_keeps_shell(text: str) -> None:
    command = parse_shell_command(text)
    assert command.run == ("sh", "-c", text)
    assert len(command.notes) == 1


def test_script_without_interpreter_gets_note() -> None:
    command = parse_argv(("./a.py", "x"))
    assert (command.run, command.args) == ("./a.py", ("x",))
    assert command.notes


@pytest.mark.parametrize("words", [(), ("A=1",)])
def test_parse_argv_rejects_command_without_program(words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="names no program"):
        parse_argv(words)


def test_parse_shell_command_rejects_open_quote() -> None:
    with pytest.raises(ValueError, match="quotation"):
        parse_shell_command("python 'a.py")
