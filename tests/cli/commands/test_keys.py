"""`argosy keys`: creates, renews, shows and copies the keys of machines; its exit codes."""

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
def keys_json(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run `argosy keys WORDS --json` and return its object."""

    def ask(*words: str, code: int = 0) -> dict[str, Any]:
        assert main(["keys", *words, "--json"]) == code
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert next(iter(found)) == "argosy"
        return found

    return ask


def test_keys_make_creates_missing_keys_only(keys: Path, keys_json: Any) -> None:
    first = keys_json("make")
    assert (first["argosy"], first["made"], first["folder"]) == ("keys/1", ["mainpc", "pc2"], str(keys))
    assert [found["has_secret"] for found in first["machines"].values()] == [True, True]
    assert keys.stat().st_mode & 0o777 == 0o700
    second = keys_json("make")
    assert second["made"] == []
    assert second["machines"] == first["machines"]


def test_keys_renew_replaces_one_key_and_warns(keys_json: Any, capsys: pytest.CaptureFixture[str]) -> None:
    before = keys_json("make")["machines"]
    renewed = keys_json("make", "--renew", "pc2")
    assert renewed["renewed"] == ["pc2"]
    assert renewed["machines"]["mainpc"] == before["mainpc"]
    assert renewed["machines"]["pc2"]["public"] != before["pc2"]["public"]
    assert main(["keys", "make", "--renew", "pc2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("0 made, 1 renewed, 1 kept")
    assert "refuse each other until they have the new keys" in out


def test_keys_show_exits_1_for_exposed_key(
    keys: Path, keys_json: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    public = keys_json("make")["machines"]["pc2"]["public"]
    assert keys_json("show")["faults"] == []
    os.chmod(keys / "pc2.secret", 0o644)
    assert [fault["code"] for fault in keys_json("show", code=1)["faults"]] == ["exposed-key"]
    assert main(["keys", "show"]) == 1
    out = capsys.readouterr().out
    assert public in out
    assert f"hint: chmod 600 {keys}/pc2.secret" in out


def test_keys_never_prints_secrets(keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["make"], ["show"], ["copy", "pc2"], ["make", "--renew", "mainpc"]):
        assert main(["keys", *words]) == 0
    for words in (["make"], ["show"], ["copy", "pc2", "-o", "more"]):
        assert main(["keys", *words, "--json"]) == 0
    secrets = [path.read_text().strip() for path in keys.glob("*.secret")]
    out = capsys.readouterr().out
    assert len(secrets) == 2
    assert not [secret for secret in secrets if secret in out]


@pytest.mark.parametrize("words", [["pc2"], ["pc2", "."], [".", "pc2"], ["pc2", "--fleet", "fleet.yaml"]])
def test_keys_copy_writes_files_of_one_machine(words: list[str], tmp_path: Path, keys_json: Any) -> None:
    keys_json("make")
    told = keys_json("copy", *words)
    assert told["out"] == str(tmp_path / "keys-pc2")
    assert told["files"] == sorted(os.listdir(told["out"])) == ["mainpc.public", "pc2.public", "pc2.secret"]
    assert {path.stat().st_mode & 0o777 for path in Path(told["out"]).iterdir()} == {0o600}


def test_argosy_keys_variable_sets_keys_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys_json: Any
) -> None:
    monkeypatch.setenv("ARGOSY_KEYS", str(tmp_path / "mine"))
    assert keys_json("make")["folder"] == str(tmp_path / "mine")
    assert (tmp_path / "mine" / "pc2.secret").exists()


def test_copied_keys_are_complete_for_their_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys_json: Any
) -> None:
    keys_json("make")
    monkeypatch.setenv("ARGOSY_KEYS", keys_json("copy", "pc2")["out"])
    shown = keys_json("show")
    assert {name: found["has_secret"] for name, found in shown["machines"].items()} == {
        "mainpc": False,
        "pc2": True,
    }
    assert keys_json("make")["made"] == []


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
def test_keys_rejects_invalid_input_with_hint(
    words: list[str], code: int, told: str, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert not keys.exists()


def test_keys_make_exits_1_for_fleet_without_machines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fleet.yaml").write_text("fleet: harbour\nagents:\n  Registry: {run: r.py}\n")
    assert main(["keys", "make"]) == 1
    assert "has no machines" in capsys.readouterr().err


def test_keys_make_exits_3_if_folder_cannot_be_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ARGOSY_KEYS", str(tmp_path / "file" / "keys"))
    assert main(["keys", "make"]) == 3
    assert "cannot be written: not a directory" in capsys.readouterr().err
