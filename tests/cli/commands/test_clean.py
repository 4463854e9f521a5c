"""`argosy clean`: removes state and runtime directories of fleets that do not run, and nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from ..conftest import is_alive

if TYPE_CHECKING:
    from ..conftest import Rig

ONE = """
fleet: toy
defaults: {ready: {probe: notify}}
agents:
  A: {run: speaker.py}
"""


def state_dir_of(rig: Rig, *fleet: str) -> Path:
    return Path(rig.json("status", *fleet)["folder"])


def runtimes(rig: Rig) -> list[Path]:
    base = Path(rig.env["XDG_RUNTIME_DIR"], "argosy")
    return sorted(base.iterdir()) if base.is_dir() else []


def test_clean_removes_state_dir_of_stopped_fleet(rig: Rig) -> None:
    rig.write(ONE)
    rig.json("up", "-d")
    folder = state_dir_of(rig)
    assert rig.argosy("hub", "--token").returncode == 0
    rig.json("down")
    assert (folder / "hub.token").is_file()
    would = rig.json("clean", "--dry-run")
    assert would["dry_run"]
    assert (folder / "log" / "A.log").is_file()
    done = rig.json("clean")
    assert done["removed"] == would["removed"]
    assert {str(folder), str(folder / "lease" / "A"), str(folder / "log" / "A.log")} <= set(done["removed"])
    assert done["kept"] == {}
    assert done["bytes"] > 0
    assert not folder.exists()
    assert rig.argosy("clean").stdout == "nothing to remove\n"
    assert rig.json("up", "-d")["ready"] == ["A"]


def test_clean_keeps_running_fleet_with_and_without_supervisor(rig: Rig) -> None:
    rig.write(ONE)
    rig.json("up", "-d")
    folder, pid = state_dir_of(rig), rig.pid("A")
    files = sorted(folder.rglob("*"))
    done = rig.json("clean", code=1)
    assert done["removed"] == []
    assert "its supervisor runs" in done["kept"][str(folder)]
    rig.kill_supervisor()
    assert "1 of its agents run: A" in rig.json("clean", code=1)["kept"][str(folder)]
    (folder / "applied.json").rename(folder / "aside")
    rig.json("clean", "--all")
    (folder / "aside").rename(folder / "applied.json")
    assert set(files) <= set(folder.rglob("*"))  # its supervisor may have written more before it was killed
    assert is_alive(pid)
    assert rig.json("up", "-d")["adopted"] == ["A"]


def test_clean_keeps_and_reports_foreign_files(rig: Rig) -> None:
    rig.write(ONE)
    rig.json("up", "-d")
    folder = state_dir_of(rig)
    rig.json("down")
    (folder / "notes.txt").write_text("mine")
    (folder / "log" / "extra").mkdir()
    (folder / "lease" / "link").symlink_to(rig.folder / "speaker.py")
    done = rig.json("clean")
    mine = {folder / "notes.txt", folder / "log" / "extra", folder / "lease" / "link"}
    assert set(done["kept"]) == set(map(str, mine))
    assert set(folder.rglob("*")) == mine | {folder / "log", folder / "lease"}
    assert (rig.folder / "speaker.py").is_file()
    shutil.rmtree(folder)


def test_clean_all_removes_fleets_without_file_unless_they_run(rig: Rig) -> None:
    rig.write(ONE)
    gone, running = (rig.write(ONE, name) for name in ("gone.yaml", "running.yaml"))
    for path in (rig.folder / "fleet.yaml", gone, running):
        rig.json("up", "-d", str(path))
    folders = {path: state_dir_of(rig, str(path)) for path in (rig.folder / "fleet.yaml", gone, running)}
    rig.json("down")
    rig.json("down", str(gone))
    pid = rig.json("status", str(running))["agents"]["A"]["pid"]
    gone.unlink()
    running.rename(rig.folder / "moved.yaml")
    done = rig.json("clean", "--all")
    assert str(folders[gone]) in done["removed"]
    assert not folders[gone].exists()
    assert "its supervisor runs" in done["kept"][str(folders[running])]
    assert folders[rig.folder / "fleet.yaml"].is_dir(), "its file is there"
    assert is_alive(pid)
    (rig.folder / "moved.yaml").rename(running)
    rig.json("down", str(running))


def test_clean_all_removes_runtime_dir_without_listeners(rig: Rig) -> None:
    stale = Path(rig.env["XDG_RUNTIME_DIR"], "argosy", "0123456789ab")
    (stale / "notify").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as dead, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as living:
        dead.bind(str(stale / "control.sock"))
        living.bind(str(stale / "notify" / "A.sock"))
        assert "a process listens" in rig.json("clean", "--all")["kept"][str(stale)]
    assert "in use less than 60 s ago" in rig.json("clean", "--all")["kept"][str(stale)]
    for folder in (stale, stale / "notify"):
        os.utime(folder, (1.0, 1.0))
    assert str(stale / "notify" / "A.sock") in rig.json("clean", "--all")["removed"]
    assert not stale.exists()


def test_down_removes_sockets_of_killed_agent(rig: Rig) -> None:
    rig.write("""
        from argosy.agent import Agent
        class Echo(Agent):
            pass
        """.replace("        ", ""), "echo.py")  # fmt: skip
    rig.write("""
        fleet: toy
        agents:
          A: {run: "echo:Echo", restart: never}
          B: {run: "echo:Echo"}
        """)
    rig.json("up", "-d")
    os.kill(rig.pid("A"), signal.SIGKILL)
    rig.until(lambda: rig.agents()["A"]["state"] == "exited")
    rig.json("down")
    assert runtimes(rig) == []
