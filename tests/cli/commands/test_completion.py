"""Shell completion: the candidates of each line, and the scripts for bash, fish and zsh."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from pathlib import Path

import pytest

from argosy.cli.command_table import COMMANDS
from argosy.cli.completer import complete
from rig.fleet import ARGOSY
from rig.needs import needs

from ..conftest import Rig

FLEET = """
fleet: toy
machines: {mainpc: {}, pc2: {}}
environments:
  testing: {mainpc: 127.0.0.1, pc2: 127.0.0.1}
  production: {mainpc: $MAIN, pc2: $SIDE}
agents:
  Translator: {run: a.py, machine: mainpc, group: language}
  Transcriber: {run: a.py, machine: pc2, group: speech}
  Memory: {run: a.py, machine: pc2}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "fleet.yaml").write_text(FLEET)
    (tmp_path / "a.py").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def offered(line: str) -> list[str]:
    """Return the words that are offered for the last one of a line behind `argosy`."""
    return [word for word, _ in complete(line.split(" "))]


@pytest.mark.parametrize("word", ["candidates", "words"])
def test_completion_serves_scripts_of_current_and_earlier_versions(word: str) -> None:
    asked = [ARGOSY, "completion", word, "tim"]
    assert subprocess.run(asked, check=True, capture_output=True, text=True).stdout == (
        f"timeline\t{COMMANDS['timeline']}\n"
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("tim", ["timeline"]),
        ("help tim", ["timeline"]),
        ("call Tr", ["Transcriber", "Translator"]),
        ("call Translator ", []),
        ("logs Translator ", ["Memory", "Transcriber"]),
        ("restart --fleet . M", ["Memory"]),
        ("up --only Tra", ["Transcriber", "Translator"]),
        ("up --only Memory,Trans", ["Memory,Transcriber", "Memory,Translator"]),
        ("up --only=Mem", ["--only=Memory"]),
        ("up --env ", ["production", "testing"]),
        ("up --machine ", ["mainpc", "pc2"]),
        ("up --engine ", ["local", "ray"]),
        ("up --star", ["--startable"]),
        ("drill --kill Mem", ["Memory"]),
        ("drill --minutes ", []),
        ("image pl", ["plan"]),
        ("image lock --only ", ["language", "speech"]),
        ("logs -n 3 Mem", ["Memory"]),
        ("address Memory --from Translat", ["Translator"]),
        ("up ", []),
        ("nonsense --x", []),
    ],
)
def test_completer_offers_matching_words(folder: Path, line: str, expected: list[str]) -> None:
    assert offered(line) == expected


def test_completer_offers_options_of_every_verb(folder: Path) -> None:
    assert {"help", *COMMANDS} == set(offered(""))
    for verb in COMMANDS:
        assert "--help" in offered(f"{verb} --")


def test_completer_offers_fleets_with_state_dir_to_down_and_status(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.write("fleet: harbour\nagents:\n  A: {run: speaker.py, ready: {probe: notify}}\n")
    rig.json("up", "-d")
    monkeypatch.setenv("XDG_STATE_HOME", rig.env["XDG_STATE_HOME"])
    assert offered("down har") == offered("status ") == ["harbour"]
    assert offered("down har harb") == []


def test_completer_offers_no_agents_without_valid_fleet_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert offered("call T") == []
    (tmp_path / "fleet.yaml").write_text("fleet: [")
    assert offered("call T") == []


def environ() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(ARGOSY).parent}:{os.environ['PATH']}", "TERM": "dumb"}


BASH = """
eval "$(argosy completion bash)"
COMP_LINE='argosy up --only=Memory,Transl' COMP_POINT=30
_argosy; echo "${COMPREPLY[@]}"
COMP_LINE='argosy call Tr' COMP_POINT=14
_argosy; echo "${COMPREPLY[@]}"
"""


@needs("bash")
def test_bash_completes(folder: Path) -> None:
    # compopt speaks to readline, which is not there in a script
    script = "compopt() { :; }\n" + BASH
    done = subprocess.run(["bash", "-c", script], env=environ(), capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("Memory,Translator\nTranscriber Translator\n", "")


@needs("fish")
def test_fish_completes(folder: Path) -> None:
    script = "argosy completion fish | source; complete -C 'argosy call Tr'"
    done = subprocess.run(
        ["fish", "-N", "-c", script], env=environ(), capture_output=True, text=True, timeout=60
    )
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["Transcriber", "Translator"]


@needs("zsh")
def test_zsh_completes(folder: Path) -> None:
    """In a terminal: zsh completes nowhere else."""
    leader, terminal = pty.openpty()
    zsh = subprocess.Popen(
        ["zsh", "-f", "-i"],
        env={**environ(), "PS1": "", "ZDOTDIR": str(folder), "HOME": str(folder)},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    try:
        lines = ["autoload -U compinit && compinit -u -D", 'eval "$(argosy completion zsh)"; echo lo""aded']
        os.write(leader, "\n".join([*lines, ""]).encode())
        read_until(leader, b"loaded")
        # Completed first, then made the argument of an echo: ^A and ^E go to both ends of the line.
        os.write(leader, b"argosy restart Transl\t\x01echo '<\x05>'\n")
        assert b"<argosy restart Translator" in read_until(leader, b"<argosy restart Translator")
    finally:
        zsh.kill()
        zsh.wait()
        os.close(leader)


def read_until(leader: int, what: bytes, seconds: float = 30) -> bytes:
    seen, deadline = b"", time.monotonic() + seconds
    while what not in seen:
        assert select.select([leader], [], [], max(0.0, deadline - time.monotonic()))[0], seen
        seen += os.read(leader, 4096)
    return seen
