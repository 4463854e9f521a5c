"""Command lines: what becomes a script, and what stays a command."""

from __future__ import annotations

import pytest

from argosy.fleet.importers.command import Command, read_shell, read_words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("python a.py", Command("a.py")),
        ("python3 a.py --port 1", Command("a.py", ("--port", "1"))),
        ("exec python a.py", Command("a.py")),
        ("LOG='x y' python a.py", Command("a.py", env={"LOG": "x y"})),
        ("env LOG=x python a.py", Command("a.py", env={"LOG": "x"})),
        ("python -u a.py", Command("a.py", env={"PYTHONUNBUFFERED": "1"})),
        ("/opt/venv/bin/python3.11 a.py", Command("a.py", python="/opt/venv/bin/python3.11")),
        ("python3.9 a.py", Command("a.py", python="python3.9")),
        ("python -m pkg.mod", Command(("python", "-m", "pkg.mod"))),
        ("python -u -m pkg.mod", Command(("python", "-u", "-m", "pkg.mod"))),
        ("python -O a.py", Command(("python", "-O", "a.py"))),
        ("redis-server --port 6379", Command(("redis-server", "--port", "6379"))),
        ("echo '$HOME;'", Command(("echo", "$HOME;"))),
        ('echo "a;b"', Command(("echo", "a;b"))),
    ],
)
def test_a_line_without_shell_syntax_runs_without_a_shell(text: str, expected: Command) -> None:
    assert read_shell(text) == expected


@pytest.mark.parametrize(
    "text",
    ["a | b", "cd x && python a.py", "a > log", "a $HOME", 'a "$HOME"', "a `b`", "a *.py", "(a)", "a; b"],
)
def test_a_line_with_shell_syntax_keeps_its_shell(text: str) -> None:
    command = read_shell(text)
    assert command.run == ("sh", "-c", text)
    assert len(command.notes) == 1


def test_a_script_without_an_interpreter_is_told() -> None:
    command = read_words(("./a.py", "x"))
    assert (command.run, command.args) == ("./a.py", ("x",))
    assert command.notes


@pytest.mark.parametrize("words", [(), ("A=1",)])
def test_nothing_to_run_is_an_error(words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="no word to run"):
        read_words(words)


def test_an_open_quote_is_an_error() -> None:
    with pytest.raises(ValueError, match="quotation"):
        read_shell("python 'a.py")
