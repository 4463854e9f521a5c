"""`argosy import`: output file, JSON, options for machines and addresses, and errors."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from argosy.cli import main
from argosy.fleet import load_fleet

SOURCE = "agents: {A: {script: a.py, port: 7000}, B: {script: b.py, needs: [A, C]}}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "startup.yaml").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_import_writes_fleet_file_and_reports_decisions(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "startup.yaml", "-o", "out.yaml"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "`C` is omitted from the needs of `B`" in err
    assert "2 agents on 1 machine; 2 edges found = 1 needs + 0 wants + 1 omitted." in err
    assert "`argosy check out.yaml`" in err
    assert set(load_fleet("out.yaml").agents) == {"A", "B"}
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((folder / "out.yaml").stat().st_mode) == 0o666 & ~umask
    assert sorted(path.name for path in folder.iterdir()) == ["out.yaml", "startup.yaml"]


def test_import_without_output_prints_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "startup.yaml"]) == 0
    out, err = capsys.readouterr()
    assert set(load_fleet("fleet.yaml", out).agents) == {"A", "B"}
    assert err.startswith("decided: ")


def test_import_json_follows_contract(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "startup.yaml", "-o", "out.yaml", "--json"]) == 0
    out, err = capsys.readouterr()
    value = json.loads(out)
    assert next(iter(value)) == "argosy"
    assert value["argosy"] == "import/1"
    assert (value["agents"], value["edges"], value["machines"]) == (2, 2, ["main"])
    assert all(set(one) == {"where", "what", "why"} for one in value["decisions"])
    assert (value["file"], err) == ("out.yaml", "")


def test_import_json_without_output_contains_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "startup.yaml", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["file"] is None
    assert load_fleet("fleet.yaml", value["text"]).agents["A"].port == 7000


def test_import_overwrites_other_file_only_with_force(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "out.yaml").write_text("mine\n")
    assert main(["import", "startup.yaml", "-o", "out.yaml"]) == 2
    assert "--force" in capsys.readouterr().err
    assert (folder / "out.yaml").read_text() == "mine\n"
    assert main(["import", "startup.yaml", "-o", "out.yaml", "--force"]) == 0
    first = (folder / "out.yaml").read_bytes()
    # The same again is no other file.
    assert main(["import", "startup.yaml", "-o", "out.yaml"]) == 0
    assert (folder / "out.yaml").read_bytes() == first


def test_import_into_folder_writes_fleet_yaml(folder: Path) -> None:
    (folder / "sub").mkdir()
    assert main(["import", "startup.yaml", "-o", "sub"]) == 0
    assert load_fleet("sub/fleet.yaml").agents["A"].run == "../a.py"


def test_import_machine_option_names_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "startup.yaml", "--machine", "big=startup.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["machines"] == ["big"]


@pytest.mark.parametrize("word", ["big", "=startup.yaml", "big=", "two words=startup.yaml", "big=other.yaml"])
def test_import_rejects_invalid_machine_option(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "startup.yaml", "--machine", word]) == 2
    assert capsys.readouterr().err.startswith("error: --machine")


@pytest.mark.parametrize("word", ["pc2", "=10.0.0.2", "pc2=", "two words=10.0.0.2", "startup=nowhere at all"])
def test_import_rejects_invalid_address_option(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "startup.yaml", "--address", word]) == 2
    assert capsys.readouterr().err.startswith("error: --address")


def test_import_rejects_missing_output_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "startup.yaml", "-o", "nowhere/out.yaml", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)
    assert error["argosy"] == "error/1"
    assert error["errors"][0]["code"] == "unwritable"


def test_import_of_unknown_format_lists_known_formats(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "x.yaml").write_text("key: value\n")
    assert main(["import", "x.yaml"]) == 2
    err = capsys.readouterr().err
    assert "error: x.yaml: this file defines no agents in a known format; it has the keys `key`" in err
    assert "Procfile" in err


def test_import_runs_as_process(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from argosy.cli import main; sys.exit(main())", "import", "."],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "fleet: " in done.stdout
