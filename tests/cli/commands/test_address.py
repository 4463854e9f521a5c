"""`argosy address` and `argosy schema`: text, JSON, the origin of each part, and errors of the input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from argosy.cli import main

FLEET = """\
fleet: harbour
machines: {mainpc: , pc2: }
environments:
  development: {mainpc: 192.168.100.16, pc2: 192.168.100.17, redis: "192.168.100.16:6379"}
  production: {mainpc: $MAINPC_IP, pc2: $PC2_IP}
agents:
  Registry: {run: r.py, machine: mainpc, port: 7200}
  Memory: {run: m.py, machine: pc2, port: 7300}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("ENV_TYPE", "MAINPC_IP", "PC2_IP", "MEMORY_HOST", "MEMORY_PORT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fleet.yaml").write_text(FLEET)
    return tmp_path


def test_address_prints_endpoint_with_origin_of_each_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["address", "Memory", "--from", "Registry"]) == 0
    assert capsys.readouterr().out == (
        "tcp://192.168.100.17:7300\n"
        "  environment  `development`, by default\n"
        "  machine      `Memory` is on `pc2` (fleet.yaml:8:23)\n"
        "  host         `pc2` in `development` has host 192.168.100.17 (fleet.yaml:4:41)\n"
        "  port         its port is 7300 (fleet.yaml:8:37)\n"
        "  interface    it binds only that address\n"
    )


def test_address_json_names_variable_that_sets_host(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MEMORY_HOST", "10.0.0.5")
    assert main(["address", "Memory", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["argosy"], answer["endpoint"]) == ("address/1", "tcp://10.0.0.5:7300")
    assert [part["where"] for part in answer["because"] if part["part"] == "host"] == ["MEMORY_HOST"]


@pytest.mark.parametrize(
    ("words", "variable", "origin"),
    [
        ([], "", ("default", "")),
        ([], "testing", ("variable", "ENV_TYPE")),
        (["--env", "testing"], "", ("option", "--env")),
    ],
)
def test_address_json_names_origin_of_environment(
    words: list[str],
    variable: str,
    origin: tuple[str, str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "fleet.yaml").write_text(FLEET.replace("production", "testing"))
    monkeypatch.setenv("ENV_TYPE", variable)
    monkeypatch.setenv("MAINPC_IP", "10.0.0.5")
    monkeypatch.setenv("PC2_IP", "10.0.0.6")
    assert main(["address", "Memory", "--json", *words]) == 0
    first = json.loads(capsys.readouterr().out)["because"][0]
    assert (first["part"], first["source"], first["where"]) == ("environment", *origin)


def test_address_prints_endpoint_of_service(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["address", "redis"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "tcp://192.168.100.16:6379"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["Memmory"], "did you mean `Memory`?"),
        (["Memory", "--from", "Regstry"], "did you mean `Registry`?"),
        (["Memory", "--env", "prod"], "there is no environment `prod`"),
        (["Memory", "--env", "production"], "`$PC2_IP` is not set"),
        ([], "takes one agent"),
    ],
)
def test_address_exits_2_for_invalid_input(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["address", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err


def test_schema_prints_plain_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "agents" in schema["$defs"]["FleetKeys"]["properties"]
