"""Command table: commands of other tools get a suggestion; version and exit code of status."""

from __future__ import annotations

import pytest

from argosy.cli import main
from argosy.cli.command_table import COMMANDS, SUGGESTIONS

from .conftest import Rig

FLEET = """
fleet: toy
agents:
  A: {run: speaker.py, ready: {probe: notify}}
  B: {run: [false], required: false, restart: never}
"""


@pytest.mark.parametrize("word", SUGGESTIONS)
def test_command_of_other_tool_suggests_argosy_command(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert word not in COMMANDS
    assert SUGGESTIONS[word].split()[0] in COMMANDS
    assert main([word]) == 2
    told = capsys.readouterr().err
    assert f"there is no command `{word}`" in told
    assert f"`argosy {SUGGESTIONS[word]}`" in told


@pytest.mark.parametrize("words", [["--version"], ["-V"], ["-v"], ["version"]])
def test_version_is_printed_for_every_spelling(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("argosy ")


def test_status_exit_code_reflects_required_agents(rig: Rig) -> None:
    rig.write(FLEET)
    rig.json("status", code=1)
    rig.json("up", "-d")
    rig.json("status", code=0)
    rig.json("down", "--only", "A")
    rig.json("status", code=1)
