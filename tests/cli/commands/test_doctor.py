"""`argosy doctor`: checks of interpreter, folders, fleet file, ports and supervisor."""

from __future__ import annotations

import platform
import socket
import sys

import pytest

from argosy.engine.explain.diagnostics import check_python
from rig.fleet import Rig, free_ports


def states(
    rig: Rig, *words: str, code: int = 0, env: dict[str, str] | None = None
) -> dict[str, tuple[str, str]]:
    told = rig.json("doctor", *words, code=code, env=env)
    assert told["argosy"] == "doctor/1"
    return {check["name"]: (check["state"], check["message"]) for check in told["checks"]}


def test_doctor_checks_machine_without_fleet_file(rig: Rig) -> None:
    found = states(rig)
    assert found["python"][1].startswith(f"CPython {platform.python_version()}, {sys.executable}: ")
    assert found["system"][0] == "ok"
    assert found["fleet file"] == ("note", "there is none in this folder or a parent")
    assert rig.json("doctor", "--fleet", "nowhere", code=2)["errors"][0]["code"] == "no-fleet"


@pytest.mark.parametrize(
    ("version", "name", "is_free_threaded", "state", "said"),
    [
        ((3, 10), "CPython 3.10.13", False, "error", "python3"),
        ((3, 11), "CPython 3.11.7", False, "ok", "every change is tested on it"),
        ((3, 12), "CPython 3.12.1", False, "ok", "it is tested occasionally"),
        ((3, 13), "CPython 3.13.5", False, "ok", "every change is tested on it"),
        ((3, 13), "CPython 3.13.5", True, "warning", "a build that is not tested"),
        ((3, 11), "PyPy 3.11.13", False, "warning", "a build that is not tested"),
        ((3, 14), "CPython 3.14.0", False, "warning", "expected to work, not tested yet"),
        ((3, 15), "CPython 3.15.0", False, "warning", "newer than any known one"),
    ],
)
def test_doctor_reports_whether_interpreter_is_tested(
    version: tuple[int, int], name: str, is_free_threaded: bool, state: str, said: str
) -> None:
    found = check_python(version, name, "/usr/bin/python3", is_free_threaded=is_free_threaded)
    assert found.message.startswith(f"{name}, /usr/bin/python3")
    assert found.state == state
    assert found.message.endswith(said)
    assert bool(found.hint) is (state != "ok")


def test_doctor_reports_unusable_state_dir(rig: Rig) -> None:
    (rig.folder / "a file").write_text("")
    found = states(rig, code=1, env={"XDG_STATE_HOME": str(rig.folder / "a file" / "state")})
    assert found["state directory"] == ("error", f"`{rig.folder / 'a file'}` is not a writable directory")


def test_doctor_checks_ports_and_supervisor_of_fleet(rig: Rig) -> None:
    (port,) = free_ports(1)
    rig.write(f"fleet: toy\nagents: {{A: {{run: speaker.py, port: {port}, ready: {{probe: notify}}}}}}\n")
    found = states(rig)
    assert [found[name][0] for name in ("fleet file", "programs", "environment", "supervisor", "ports")] == [
        "ok"
    ] * 5
    with socket.create_server(("127.0.0.1", port)):
        state, message = states(rig, code=1)["ports"]
    assert state == "error"
    assert f"port {port} held by pid" in message
    rig.json("up", "-d")
    assert states(rig)["supervisor"][1].endswith("1 agents")
    rig.kill_supervisor()
    assert states(rig)["supervisor"] == ("warning", "not running, although 1 agents run")


def test_doctor_reports_faults_of_fleet_file_and_scripts(rig: Rig) -> None:
    rig.write("fleet: toy\nagents: {A: {run: gone.py}}\n")
    state, message = states(rig, code=1)["programs"]
    assert (state, message) == ("error", "1 cannot start: A")
    rig.write("fleet: toy\nagents: {A: {rnu: gone.py}}\n")
    state, message = states(rig, code=1)["fleet file"]
    assert state == "error"
    assert "fleet.yaml:2:" in message
