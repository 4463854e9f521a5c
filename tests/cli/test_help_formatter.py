"""`--help` output, compared with golden files; with `ARGOSY_GOLDEN=1` these tests write the files."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path

import pytest

import argosy
from argosy.cli import main
from argosy.cli.command_table import COMMANDS, MODULE_NAMES

GOLDEN = Path(__file__).with_name("help")
ROOT = Path(__file__).resolve().parents[2]


def help_output(words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "120")
    try:
        code: object = main(words)
    except SystemExit as end:  # argparse's own way to end after a help
        code = end.code
    assert code == 0
    return capsys.readouterr().out.replace(argosy.__version__, "VERSION")


@pytest.mark.parametrize("verb", ["", *COMMANDS])
def test_help_matches_golden_file(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = help_output([*filter(None, [verb]), "--help"], capsys, monkeypatch)
    kept = GOLDEN / f"{verb or 'argosy'}.txt"
    if os.environ.get("ARGOSY_GOLDEN"):
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(text)
    assert kept.is_file(), f"no {kept}; ARGOSY_GOLDEN=1 writes it"
    assert text == kept.read_text()


def test_golden_help_files_match_existing_commands() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {"argosy", *COMMANDS}


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_command_has_module_example_and_documentation(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(f"argosy.cli.commands.{MODULE_NAMES.get(verb, verb)}")
    assert callable(module.configure)
    assert callable(module.run)
    lines = help_output([verb, "--help"], capsys, monkeypatch).splitlines()
    assert lines[0].startswith(f"usage: argosy {verb} ")
    assert any(line.startswith(f"example: argosy {verb} ") for line in lines)
    assert max(map(len, lines)) <= 105
    texts = [path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]]
    assert any(re.search(rf"argosy {verb}\b", text) for text in texts), f"`argosy {verb}` is in no document"


def test_missing_argument_error_hints_at_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["import"]) == 2
    assert "hint: `argosy import --help`" in capsys.readouterr().err
