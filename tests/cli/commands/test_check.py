"""`argosy check`: exit codes, text and JSON output, and faults of file and scripts reported together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from argosy.cli import main
from argosy.cli.commands.check import summary_line
from argosy.engine.explain.preflight import PreflightReport
from argosy.fault import Fault

FLEET = """\
fleet: harbour
agents:
  A: {run: a.py}
  B: {run: b.py}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ENV_TYPE", raising=False)
    (tmp_path / "fleet.yaml").write_text(FLEET)
    (tmp_path / "a.py").write_text("import json\n")
    (tmp_path / "b.py").write_text("import json\n")
    return tmp_path


def check_json(capsys: pytest.CaptureFixture[str], *words: str, code: int) -> dict[str, Any]:
    """Run `argosy check --json`; stdout must be one object `check/1`, and stderr empty."""
    assert main(["check", "--json", *words]) == code
    told = capsys.readouterr()
    assert told.err == ""
    found: dict[str, Any] = json.loads(told.out)
    assert next(iter(found.items())) == ("argosy", "check/1")
    for fault in [*found["errors"], *found["warnings"]]:
        assert list(fault) == ["where", "code", "message", "hint"]
    return found


def test_check_exits_0_for_valid_fleet(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("2 agents: 2 can start; no faults\n", "")
    found = check_json(capsys, code=0)
    assert (found["errors"], found["warnings"]) == ([], [])


def test_check_exits_1_for_script_with_syntax_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "b.py").write_text("x = 1\n\ny = (\n")
    assert main(["check"]) == 1
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out == (
        "error: b.py:3:5: S101 does not parse: '(' was never closed\n"
        "2 agents: 1 can start, 1 cannot (1 does not parse); 1 error in the code\n"
    )
    found = check_json(capsys, code=1)
    assert [(fault["where"], fault["code"]) for fault in found["errors"]] == [("b.py:3:5", "S101")]


def test_check_exits_0_for_warnings_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "b.py").write_text("def f():\n    return jsn\nimport json\n")
    assert main(["check"]) == 0
    assert capsys.readouterr().out == (
        "warning: b.py:2:12: S104 `jsn` is read in `f` but never bound\n"
        "hint: did you mean `json`?\n"
        "2 agents: 2 can start; 1 warning\n"
    )
    found = check_json(capsys, code=0)
    assert [fault["code"] for fault in found["warnings"]] == ["S104"]
    assert found["errors"] == []


def test_check_reports_faults_of_file_and_scripts_together(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "fleet.yaml").write_text(FLEET.replace("run: b.py", "run: b.py, needs: [AA]"))
    (folder / "b.py").write_text("y = (\n")
    assert main(["check"]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: fleet.yaml:4:")
    assert told.out.startswith("error: b.py:1:5: S101")
    assert told.out.endswith(
        "2 agents: 1 can start, 1 cannot (1 does not parse); 1 fault in the file, 1 error in the code\n"
    )
    found = check_json(capsys, code=2)
    assert [fault["where"].partition(":")[0] for fault in found["errors"]] == ["fleet.yaml", "b.py"]


@pytest.mark.parametrize("text", ["", "{", "fleet: x\nagents: {A: {ron: a.py}}\n", "\x00"])
def test_check_exits_2_for_invalid_fleet_file(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (folder / "fleet.yaml").write_text(text)
    assert main(["check"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: fleet.yaml:")
    assert check_json(capsys, code=2)["errors"] != []


def test_check_exits_2_for_missing_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "nowhere/fleet.yaml"]) == 2
    assert "nowhere/fleet.yaml" in capsys.readouterr().err
    found = check_json(capsys, "nowhere/fleet.yaml", code=2)
    assert [fault["code"] for fault in found["errors"]] == ["no-fleet"]


def test_check_exits_2_for_unknown_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENV_TYPE", "prodction")
    found = check_json(capsys, code=2)
    (fault,) = found["errors"]
    assert fault["where"] == "ENV_TYPE"
    assert "prodction" in fault["message"]
    assert check_json(capsys, "--env", "production", code=0)["errors"] == []


def test_check_exits_2_for_unset_variable_of_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MAINPC_IP", raising=False)
    (folder / "fleet.yaml").write_text(
        "fleet: harbour\nmachines: {mainpc: {}}\n"
        "environments:\n  development: {mainpc: 127.0.0.1}\n  production: {mainpc: $MAINPC_IP}\n"
        "agents:\n  A: {run: a.py, machine: mainpc, port: 5000}\n"
    )
    assert check_json(capsys, code=0)["errors"] == []
    (fault,) = check_json(capsys, "--env", "production", code=2)["errors"]
    assert "MAINPC_IP" in fault["message"]
    assert fault["where"].startswith("fleet.yaml:5:")


def test_check_summary_line_counts_add_up() -> None:
    fault = Fault("a.py:1:1", "S101", "x")
    stopped = {f"A{number}": "x" for number in range(23)}
    report = PreflightReport(84, (fault, fault), (fault,) * 12, stopped, tuple(stopped))
    assert summary_line(report) == (
        "84 agents: 61 can start, 23 cannot (23 do not parse); 2 errors in the code, 12 warnings"
    )
    assert summary_line(PreflightReport(1, (), (), {}, ())) == "1 agent: 1 can start; no faults"
