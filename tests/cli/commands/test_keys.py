"""`argosy keys` on a fleet file: what it makes, tells and lays out, and its exit codes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from argosy.cli import main

FLEET = """\
fleet: harbour
machines: {mainpc: , pc2: }
environments:
  development: {mainpc: 192.168.100.16, pc2: 192.168.100.17}
agents:
  Registry: {run: r.py, machine: mainpc, port: 7200}
  Memory: {run: m.py, machine: pc2, port: 7300}
"""


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where this fleet's keys go; the current folder holds the fleet file."""
    monkeypatch.delenv("ARGOSY_KEYS", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fleet.yaml").write_text(FLEET)
    return tmp_path / "config" / "argosy" / "keys" / "harbour"


@pytest.fixture
def asked(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run `argosy keys WORDS --json` and return its object."""

    def ask(*words: str, code: int = 0) -> dict[str, Any]:
        assert main(["keys", *words, "--json"]) == code
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert next(iter(found)) == "argosy"
        return found

    return ask


def test_make_makes_what_is_missing(keys: Path, asked: Any) -> None:
    first = asked("make")
    assert (first["argosy"], first["made"], first["folder"]) == ("keys/1", ["mainpc", "pc2"], str(keys))
    assert [found["has_secret"] for found in first["machines"].values()] == [True, True]
    assert keys.stat().st_mode & 0o777 == 0o700
    second = asked("make")
    assert second["made"] == []
    assert second["machines"] == first["machines"]


def test_renew_changes_one_key_and_tells_what_follows(asked: Any, capsys: pytest.CaptureFixture[str]) -> None:
    before = asked("make")["machines"]
    renewed = asked("make", "--renew", "pc2")
    assert renewed["renewed"] == ["pc2"]
    assert renewed["machines"]["mainpc"] == before["mainpc"]
    assert renewed["machines"]["pc2"]["public"] != before["pc2"]["public"]
    assert main(["keys", "make", "--renew", "pc2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("0 made, 1 renewed, 1 kept")
    assert "refuse each other until they have the new keys" in out


def test_show_ends_with_1_where_something_is_wrong(
    keys: Path, asked: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    public = asked("make")["machines"]["pc2"]["public"]
    assert asked("show")["faults"] == []
    os.chmod(keys / "pc2.secret", 0o644)
    assert [fault["code"] for fault in asked("show", code=1)["faults"]] == ["exposed-key"]
    assert main(["keys", "show"]) == 1
    out = capsys.readouterr().out
    assert public in out
    assert f"hint: chmod 600 {keys}/pc2.secret" in out


def test_no_secret_is_ever_printed(keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["make"], ["show"], ["copy", "pc2"], ["make", "--renew", "mainpc"]):
        assert main(["keys", *words]) == 0
    for words in (["make"], ["show"], ["copy", "pc2", "-o", "more"]):
        assert main(["keys", *words, "--json"]) == 0
    secrets = [path.read_text().strip() for path in keys.glob("*.secret")]
    out = capsys.readouterr().out
    assert len(secrets) == 2
    assert not [secret for secret in secrets if secret in out]


@pytest.mark.parametrize("words", [["pc2"], ["pc2", "."], [".", "pc2"], ["pc2", "--fleet", "fleet.yaml"]])
def test_copy_lays_out_what_one_machine_needs(words: list[str], tmp_path: Path, asked: Any) -> None:
    asked("make")
    told = asked("copy", *words)
    assert told["out"] == str(tmp_path / "keys-pc2")
    assert told["files"] == sorted(os.listdir(told["out"])) == ["mainpc.public", "pc2.public", "pc2.secret"]
    assert {path.stat().st_mode & 0o777 for path in Path(told["out"]).iterdir()} == {0o600}


def test_argosy_keys_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Any) -> None:
    monkeypatch.setenv("ARGOSY_KEYS", str(tmp_path / "mine"))
    assert asked("make")["folder"] == str(tmp_path / "mine")
    assert (tmp_path / "mine" / "pc2.secret").exists()


def test_a_machine_given_its_layout_has_all_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Any
) -> None:
    asked("make")
    monkeypatch.setenv("ARGOSY_KEYS", asked("copy", "pc2")["out"])
    shown = asked("show")
    assert {name: found["has_secret"] for name, found in shown["machines"].items()} == {
        "mainpc": False,
        "pc2": True,
    }
    assert asked("make")["made"] == []


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 2, "the following arguments are required"),
        (["lend"], 2, "invalid choice"),
        (["make", "pc2"], 2, "takes no machine, found `pc2`"),
        (["copy"], 2, "takes one machine, found none"),
        (["copy", "pc22"], 2, "did you mean `pc2`?"),
        (["make", "--renew", "pc22"], 2, "did you mean `pc2`?"),
        (["show", "--renew", "pc2"], 2, "`--renew` goes with `argosy keys make`"),
        (["make", "-o", "there"], 2, "`-o` goes with `argosy keys copy`"),
        (["show"], 1, "`argosy keys make` makes them"),
        (["copy", "pc2"], 1, "there is no secret key of `pc2`"),
        (["make", "--renew", "pc2"], 1, "there is no public key of `pc2`"),
    ],
)
def test_what_cannot_be_done(
    words: list[str], code: int, told: str, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert not keys.exists()


def test_a_fleet_without_machines_needs_no_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "fleet.yaml").write_text("fleet: harbour\nagents:\n  Registry: {run: r.py}\n")
    assert main(["keys", "make"]) == 1
    assert "has no machines" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_ends_with_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ARGOSY_KEYS", str(tmp_path / "file" / "keys"))
    assert main(["keys", "make"]) == 3
    assert "cannot be written: not a directory" in capsys.readouterr().err
