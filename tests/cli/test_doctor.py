"""`argosy doctor`: what is wrong here, told before anybody starts anything."""

from __future__ import annotations

import socket

from rig.fleet import Rig, free_ports


def states(
    rig: Rig, *words: str, code: int = 0, env: dict[str, str] | None = None
) -> dict[str, tuple[str, str]]:
    told = rig.json("doctor", *words, code=code, env=env)
    assert told["argosy"] == "doctor/1"
    return {check["name"]: (check["state"], check["message"]) for check in told["checks"]}


def test_a_machine_without_a_fleet(rig: Rig) -> None:
    found = states(rig)
    assert found["python"][0] == "ok"
    assert found["system"][0] == "ok"
    assert found["fleet file"] == ("note", "there is none in this folder or a parent")
    assert rig.json("doctor", "--fleet", "nowhere", code=2)["errors"][0]["code"] == "no-fleet"


def test_a_folder_that_cannot_be_used_is_told(rig: Rig) -> None:
    (rig.folder / "a file").write_text("")
    found = states(rig, code=1, env={"XDG_STATE_HOME": str(rig.folder / "a file" / "state")})
    assert found["state folder"] == ("error", f"`{rig.folder / 'a file'}` is no folder that can be written")


def test_a_fleet_its_ports_and_its_supervisor(rig: Rig) -> None:
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
    assert states(rig)["supervisor"] == ("warning", "none runs, and 1 agents do")


def test_faults_of_the_file_and_of_a_script(rig: Rig) -> None:
    rig.write("fleet: toy\nagents: {A: {run: gone.py}}\n")
    state, message = states(rig, code=1)["programs"]
    assert (state, message) == ("error", "1 cannot start: A")
    rig.write("fleet: toy\nagents: {A: {rnu: gone.py}}\n")
    state, message = states(rig, code=1)["fleet file"]
    assert state == "error"
    assert "fleet.yaml:2:" in message
