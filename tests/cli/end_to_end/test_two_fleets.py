"""Two fleets with the same names on one host, also of two users, stay separate."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

import argosy
from rig.needs import require

from ..conftest import is_alive

if TYPE_CHECKING:
    from ..conftest import Rig

FLEET = """
fleet: toy
defaults: {ready: {probe: notify}}
agents:
  A: {run: speaker.py}
  B: {run: speaker.py, needs: [A]}
"""


NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
MAIN = "import sys; from argosy.cli import main; sys.exit(main())"


def interpreter_of_all(env: dict[str, str]) -> str:
    """Return an interpreter that another user may start, and that finds argosy."""
    for python in (sys.executable, f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"):
        # Twice, since the first one after setpriv still has what root may.
        again = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', sys.argv[1]]))"
        command = [*NOBODY, python, "-c", again, "import argosy.engine.supervisor.entrypoint"]
        if not subprocess.run(command, cwd="/", env=env, capture_output=True, check=False).returncode:
            return python
    pytest.skip("another user may not read this checkout, or has no interpreter for it")


def test_fleets_with_same_names_in_two_files_are_independent(rig: Rig) -> None:
    rig.write(FLEET)
    other = str(rig.write(FLEET, "other.yaml"))
    assert sorted(rig.json("up", "-d")["ready"]) == ["A", "B"]
    assert rig.json("up", "-d", other)["adopted"] == []
    one, two = rig.json("status"), rig.json("status", other)
    assert one["folder"] != two["folder"]
    assert one["supervisor"]["pid"] != two["supervisor"]["pid"]
    pids = [agent["pid"] for status in (one, two) for agent in status["agents"].values()]
    assert len(set(pids)) == 4
    rig.kill_supervisor()
    assert sorted(rig.json("up", "-d")["adopted"]) == ["A", "B"]
    assert sorted(rig.json("down")["stopped"]) == ["A", "B"]
    again = rig.json("status", other)["agents"]
    assert [agent["pid"] for agent in again.values()] == pids[2:]
    assert all(map(is_alive, pids[2:]))
    assert sorted(rig.json("down", other)["stopped"]) == ["A", "B"]


def test_other_user_runs_own_fleet_and_cannot_use_foreign_state(rig: Rig) -> None:
    require("setpriv")
    if os.getuid() != 0:
        pytest.skip("only root can be another user")
    places = [Path(module.__file__ or "").parents[1] for module in (argosy, msgspec)]
    env = {"PYTHONPATH": os.pathsep.join(map(str, places))}
    python = interpreter_of_all(env)
    rig.write(FLEET)
    rig.json("up", "-d")
    home = Path(tempfile.mkdtemp(prefix="argosy-t-", dir="/tmp"))
    os.chown(home, 65534, 65534)
    env = {**env, "PATH": os.environ["PATH"], "HOME": str(home), "ENV_TYPE": "testing"}
    (home / "fleet").mkdir()
    for name in ("fleet.yaml", "speaker.py"):
        shutil.copyfile(rig.folder / name, home / "fleet" / name)

    def nobody(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [*NOBODY, python, "-c", MAIN, *words, "--fleet", str(home / "fleet")]
        return subprocess.run(command, cwd="/", env={**env, **more}, capture_output=True, text=True)

    try:
        up = nobody("up", "-d")
        assert up.returncode == 0, up.stderr
        assert "2 of 2" in nobody("status").stdout
        mine = nobody("up", "-d", XDG_STATE_HOME=rig.env["XDG_STATE_HOME"])
        assert mine.returncode == 3, mine.stderr
        assert rig.json("up", "-d")["adopted"] == ["A", "B"]
    finally:
        down = nobody("down")
        shutil.rmtree(home)
        shutil.rmtree("/tmp/argosy-65534", ignore_errors=True)
    assert down.returncode == 0, down.stderr
