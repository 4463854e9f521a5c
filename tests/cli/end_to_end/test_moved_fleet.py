"""Moved fleets: found and stopped after their folder or state directory was moved or deleted."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rig.fleet import SPEAKER, free_ports

from ..conftest import is_alive

if TYPE_CHECKING:
    from ..conftest import Rig

FLEET = """
fleet: harbour
defaults: {ready: {probe: notify}}
agents:
  A: {run: speaker.py}
  B: {run: speaker.py, needs: [A]}
"""
CELLS = """
fleet: cells
agents:
  A: {run: "crew:Quiet", cell: one}
  B: {run: "crew:Quiet", cell: one}
"""
CREW = """
from argosy.agent import Agent
class Quiet(Agent): ...
"""
LISTENER = f"""
import os, socket
listener = socket.create_server(("127.0.0.1", int(os.environ["ARGOSY_PORT"])))
{SPEAKER}
"""


class RunningFleet:
    """A folder with a fleet that runs, its agents, its supervisor and its state folder."""

    def __init__(self, rig: Rig, name: str, text: str = FLEET) -> None:
        self.rig, self.folder = rig, rig.folder / name
        self.folder.mkdir()
        (self.folder / "fleet.yaml").write_text(text)
        (self.folder / "speaker.py").write_text(SPEAKER)
        (self.folder / "listener.py").write_text(LISTENER)
        (self.folder / "crew.py").write_text(CREW)
        assert rig.json("up", "-d", f"{name}/")["not_ready"] == {}
        told = rig.json("status", f"{name}/")
        self.state = Path(told["folder"])
        self.supervisor: int = told["supervisor"]["pid"]
        self.pids = {agent: each["pid"] for agent, each in told["agents"].items()}

    def kill_supervisor(self) -> None:
        os.kill(self.supervisor, signal.SIGKILL)
        self.rig.until(lambda: not is_alive(self.supervisor))

    def is_running(self) -> bool:
        return all(map(is_alive, self.pids.values()))

    def is_stopped(self) -> bool:
        return not any(map(is_alive, (*self.pids.values(), self.supervisor)))

    def end(self) -> None:
        """Kill what a failed test has left."""
        for pid in (self.supervisor, *self.pids.values()):
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def running_fleets(rig: Rig) -> Iterator[list[RunningFleet]]:
    """Places that are ended after the test, whatever it has come to."""
    rig.write("fleet: unused\nagents:\n  A: {run: speaker.py}\n")
    made: list[RunningFleet] = []
    yield made
    for place in made:
        place.end()
    for file in rig.folder.glob("*/fleet.yaml") if rig.leftovers() else ():
        rig.argosy("down", str(file))


@pytest.fixture
def harbour(rig: Rig, running_fleets: list[RunningFleet]) -> RunningFleet:
    """A running fleet `harbour` in a folder `old`."""
    running_fleets.append(RunningFleet(rig, "old"))
    return running_fleets[0]


def list_fleets(rig: Rig) -> list[dict[str, Any]]:
    fleets: list[dict[str, Any]] = rig.json("ls")["fleets"]
    return fleets


def test_ls_lists_old_and_new_path_of_moved_fleet_and_down_stops_it(rig: Rig, harbour: RunningFleet) -> None:
    new = harbour.folder.rename(rig.folder / "new")
    (fleet,) = list_fleets(rig)
    assert (fleet["fleet"], fleet["id"], fleet["state"]) == ("harbour", harbour.state.name, "running")
    assert (fleet["path"], fleet["file"]) == (str(harbour.folder / "fleet.yaml"), "moved")
    assert fleet["moved_to"] == str(new / "fleet.yaml")
    assert fleet["supervisor"]["pid"] == harbour.supervisor
    assert fleet["agents"] == {"running": 2, "ready": 2, "declared": 2}
    assert (fleet["environment"], fleet["folder"]) == ("testing", str(harbour.state))
    table = rig.argosy("ls").stdout
    assert f"(moved to {new / 'fleet.yaml'})" in table
    assert "`argosy down harbour`" in table
    assert rig.json("status", "harbour")["supervisor"]["pid"] == harbour.supervisor
    assert "up A" in rig.argosy("logs", "--fleet", "harbour", "A").stdout
    assert sorted(rig.json("down", "harbour")["stopped"]) == ["A", "B"]
    assert harbour.is_stopped()
    assert [each["state"] for each in list_fleets(rig)] == ["stopped"]


def test_up_in_renamed_folder_refuses_second_fleet(rig: Rig, harbour: RunningFleet) -> None:
    new = harbour.folder.rename(rig.folder / "new")
    (fault,) = rig.json("up", "-d", "new/", code=1)["errors"]
    assert str(harbour.folder / "fleet.yaml") in fault["message"]
    assert "`argosy down harbour`" in fault["hint"]
    with (new / "fleet.yaml").open("a") as file:  # edited since: still the same file of the same name
        file.write("\n")
    assert rig.argosy("up", "-d", "new/").returncode == 1
    assert rig.json("status", "new/")["folder"] == str(harbour.state)
    assert harbour.is_running()
    assert sorted(rig.json("down", "new/")["stopped"]) == ["A", "B"]
    assert sorted(rig.json("up", "-d", "new/")["ready"]) == ["A", "B"]
    rig.json("down", "new/")


def test_other_fleet_starts_beside_moved_fleet(
    rig: Rig, harbour: RunningFleet, running_fleets: list[RunningFleet]
) -> None:
    harbour.folder.rename(rig.folder / "new")
    running_fleets.append(RunningFleet(rig, "other", FLEET + "  C: {run: speaker.py}\n"))
    assert harbour.is_running()
    assert sorted(rig.json("down", "other/")["stopped"]) == ["A", "B", "C"]
    assert harbour.is_running()


@pytest.mark.parametrize(
    ("word", "is_supervised"), [("harbour", True), ("old/", False), ("old/fleet.yaml", True)]
)
def test_down_stops_fleet_with_deleted_folder(
    rig: Rig, harbour: RunningFleet, word: str, is_supervised: bool
) -> None:
    shutil.rmtree(harbour.folder)
    if not is_supervised:
        harbour.kill_supervisor()
    (fleet,) = list_fleets(rig)
    assert (fleet["file"], fleet["state"]) == ("gone", "running" if is_supervised else "unsupervised")
    assert fleet["agents"]["running"] == 2
    assert sorted(rig.json("down", *(["--fleet"] if "/" in word else []), word)["stopped"]) == ["A", "B"]
    assert harbour.is_stopped()


@pytest.mark.parametrize("is_supervised", [True, False], ids=["supervised", "unsupervised"])
def test_down_stops_fleet_with_deleted_folder_and_state_dir(
    rig: Rig, harbour: RunningFleet, is_supervised: bool
) -> None:
    shutil.rmtree(harbour.folder)
    if not is_supervised:
        harbour.kill_supervisor()
    shutil.rmtree(harbour.state)
    (fleet,) = list_fleets(rig)
    assert (fleet["fleet"], fleet["id"]) == ("harbour", harbour.state.name)
    assert (fleet["path"], fleet["file"]) == (str(harbour.folder / "fleet.yaml"), "gone")
    assert (fleet["supervisor"] is not None, fleet["agents"]["running"]) == (is_supervised, 2)
    assert sorted(rig.json("down", "harbour")["stopped"]) == ["A", "B"]
    assert harbour.is_stopped()


def test_down_stops_cell_without_folder_supervisor_and_state_dir(
    rig: Rig, running_fleets: list[RunningFleet]
) -> None:
    running_fleets.append(place := RunningFleet(rig, "cells", CELLS))
    shutil.rmtree(place.folder)
    place.kill_supervisor()
    shutil.rmtree(place.state)
    assert [fleet["fleet"] for fleet in list_fleets(rig)] == ["cells"]
    assert sorted(rig.json("down", "cells")["stopped"]) == ["A", "B"]
    assert place.is_stopped()


def test_ambiguous_fleet_name_is_refused_with_ids_of_candidates(
    rig: Rig, harbour: RunningFleet, running_fleets: list[RunningFleet]
) -> None:
    running_fleets.append(other := RunningFleet(rig, "other"))
    for verb in ("down", "status"):
        (fault,) = rig.json(verb, "harbour", code=2)["errors"]
        assert all(
            f"`{place.state.name}` ({place.folder}/fleet.yaml)" in fault["message"]
            for place in running_fleets
        )
    assert harbour.is_running()
    assert sorted(rig.json("down", other.state.name)["stopped"]) == ["A", "B"]
    assert other.is_stopped()
    assert harbour.is_running()
    assert sorted(rig.json("down", "harbour")["stopped"]) == ["A", "B"], "the only one of the name that runs"


def test_down_accepts_subfolder_and_suggests_similar_fleet_name(rig: Rig, harbour: RunningFleet) -> None:
    (fault,) = rig.json("down", "harbor", code=2)["errors"]
    assert fault["hint"] == "did you mean `harbour`?"
    assert "`old/`" in rig.json("check", "old", code=2)["errors"][0]["hint"]
    assert harbour.is_running()
    assert sorted(rig.json("down", "old")["stopped"]) == ["A", "B"]


def test_ls_reports_frozen_supervisor_as_silent_without_hanging(
    rig: Rig, harbour: RunningFleet, running_fleets: list[RunningFleet]
) -> None:
    running_fleets.append(other := RunningFleet(rig, "other", FLEET.replace("harbour", "quay")))
    os.kill(harbour.supervisor, signal.SIGSTOP)
    try:
        fleets = {fleet["fleet"]: fleet for fleet in list_fleets(rig)}
    finally:
        os.kill(harbour.supervisor, signal.SIGCONT)
    assert (fleets["harbour"]["state"], fleets["quay"]["state"]) == ("silent", "running")
    assert "has not answered for 2 s" in fleets["harbour"]["note"]
    assert fleets["harbour"]["supervisor"]["pid"] == harbour.supervisor
    assert fleets["harbour"]["agents"] == {"running": 2, "ready": 2, "declared": 2}
    rig.json("down", "harbour")
    rig.json("down", "quay")
    assert other.is_stopped()


def test_port_conflict_names_agent_and_fleet_that_hold_port(
    rig: Rig, running_fleets: list[RunningFleet]
) -> None:
    text = f"""
fleet: {{}}
defaults: {{{{ready: {{{{probe: tcp}}}}, restart: never}}}}
agents:
  Echo: {{{{run: listener.py, port: {free_ports(1)[0]}}}}}
"""
    running_fleets.append(first := RunningFleet(rig, "old", text.format("harbour")))
    first.folder.rename(rig.folder / "new")
    rig.write(text.format("other"))
    rig.write(LISTENER, "listener.py")
    done = rig.argosy("up", "-d")
    assert done.returncode == 1
    file = first.folder / "fleet.yaml"
    owner = f"pid {first.pids['Echo']}, agent `Echo` of fleet `harbour` ({file}, moved or deleted)"
    assert f"held by {owner}" in done.stdout
    assert "hint: `argosy down harbour` stops that fleet" in done.stdout
    assert sorted(rig.json("down", "harbour")["stopped"]) == ["Echo"]
    assert rig.json("up", "-d")["ready"] == ["Echo"]


def test_process_with_agent_environment_in_other_session_is_not_agent(
    rig: Rig, harbour: RunningFleet
) -> None:
    """What a person starts with an agent's environment, in a session that the agent does not lead."""
    variables = Path(f"/proc/{harbour.pids['A']}/environ").read_bytes().split(b"\0")
    told = dict(line.split(b"=", 1) for line in variables if b"=" in line)
    stranger = os.posix_spawn(sys.executable, [sys.executable, "-c", "import signal; signal.pause()"], told)
    try:
        assert list_fleets(rig)[0]["agents"]["running"] == 2
        assert sorted(rig.json("down", "harbour")["stopped"]) == ["A", "B"]
        assert is_alive(stranger)
    finally:
        os.kill(stranger, signal.SIGKILL)
        os.waitpid(stranger, 0)


def test_doctor_and_clean_report_running_fleet_without_fleet_file(rig: Rig, harbour: RunningFleet) -> None:
    shutil.rmtree(harbour.folder)
    checks = [check for check in rig.json("doctor")["checks"] if check["name"] == "leftovers"]
    assert [(check["state"], check["hint"]) for check in checks] == [("warning", "`argosy down harbour`")]
    assert "fleet `harbour` runs" in checks[0]["message"]
    cleaned = rig.argosy("clean", "--all").stdout
    assert f"kept {harbour.state}: its supervisor runs" in cleaned
    assert "hint: `argosy down harbour` stops it" in cleaned
    harbour.kill_supervisor()
    assert "2 of its agents run" in rig.argosy("clean", "--all").stdout
    assert "no supervisor, 2 processes" in str(rig.json("doctor")["checks"])
    assert harbour.is_running()
    rig.json("down", "harbour")


def test_clean_keeps_runtime_dir_of_agents_found_only_in_proc(rig: Rig, harbour: RunningFleet) -> None:
    harbour.kill_supervisor()
    shutil.rmtree(harbour.state)
    (runtime,) = Path(rig.env["XDG_RUNTIME_DIR"], "argosy").iterdir()
    for folder in (runtime, *(path for path in runtime.iterdir() if path.is_dir())):
        os.utime(folder, (1.0, 1.0))
    assert rig.json("clean", "--all")["kept"] == {str(runtime): "agents of fleet `harbour` run"}
    assert (runtime / "notify").is_dir()
    assert sorted(rig.json("down", "harbour")["stopped"]) == ["A", "B"]


def test_ls_reports_fleet_of_other_state_home_and_down_leaves_it_running(
    rig: Rig, harbour: RunningFleet
) -> None:
    elsewhere = {"XDG_STATE_HOME": str(rig.folder / "state2")}
    told = rig.json("ls", env=elsewhere)
    assert told["fleets"] == []
    assert "harbour" in told["elsewhere"][str(rig.folder / "state")]
    (fault,) = rig.json("down", "harbour", code=2, env=elsewhere)["errors"]
    assert fault["code"] == "no-fleet"
    assert harbour.is_running()
    rig.json("down", "harbour")
