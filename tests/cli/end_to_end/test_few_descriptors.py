"""Low descriptor limits: reported before a start, and they never prevent a stop."""

from __future__ import annotations

import json
import resource
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from ..conftest import ARGOSY

if TYPE_CHECKING:
    from ..conftest import Rig

COUNT = 30
FLEET = "fleet: toy\ndefaults: {run: speaker.py, ready: {probe: notify}}\nagents:\n" + "".join(
    f"  A{number}: {{}}\n" for number in range(COUNT)
)


def limited(rig: Rig, limit: str, *words: str) -> tuple[int, Any]:
    """Run `argosy WORDS --json` under a limit of descriptors, as `prlimit` has it."""
    done = subprocess.run(
        ["prlimit", f"--nofile={limit}", ARGOSY, *words, "--json"],
        cwd=rig.folder,
        env=rig.env,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def test_up_reports_too_few_descriptors_before_any_start(rig: Rig) -> None:
    rig.write(FLEET)
    code, up = limited(rig, "32:32", "up", "-d")
    (error,) = up["errors"]
    needed = COUNT * 2 + 24
    assert (code, error["code"]) == (3, "too-few-descriptors"), up
    assert error["message"].endswith(f"needs {needed} file descriptors, has 32")
    assert "ulimit" in error["hint"]
    rig.until(lambda: not rig.leftovers())
    code, check = limited(rig, "32:32", "check")
    assert (code, [each["code"] for each in check["warnings"]]) == (0, ["too-few-descriptors"])
    _, doctor = limited(rig, "32:32", "doctor")
    assert [each["state"] for each in doctor["checks"] if each["name"] == "descriptors"] == ["error"]
    code, check = limited(rig, f"32:{needed}", "check")
    assert check["warnings"] == [], "the soft limit is the supervisor's to raise"


def test_supervisor_raises_own_soft_descriptor_limit_but_not_that_of_agents(rig: Rig) -> None:
    rig.write(FLEET)
    code, up = limited(rig, "40:1000", "up", "-d")
    assert (code, len(up["ready"])) == (0, COUNT)
    supervisor = rig.json("status")["supervisor"]["pid"]
    assert resource.prlimit(supervisor, resource.RLIMIT_NOFILE) == (1000, 1000)
    assert resource.prlimit(rig.pid("A1"), resource.RLIMIT_NOFILE) == (40, 1000)


def test_descriptor_check_counts_selected_agents_only(rig: Rig) -> None:
    rig.write(FLEET)
    code, up = limited(rig, "40:40", "up", "-d", "--only", "A1,A2")
    assert (code, up["ready"]) == (0, ["A1", "A2"])
    code, up = limited(rig, "40:40", "up", "-d")
    assert (code, up["errors"][0]["code"]) == (3, "too-few-descriptors")
    assert rig.agents()["A1"]["state"] == "ready"


@pytest.mark.parametrize("is_restarted", [False, True], ids=["started", "adopted"])
def test_down_stops_fleet_when_supervisor_has_no_free_descriptor(rig: Rig, is_restarted: bool) -> None:
    rig.write(FLEET)
    rig.json("up", "-d")
    if is_restarted:
        rig.kill_supervisor()
        rig.json("up", "-d")
    supervisor = rig.json("status")["supervisor"]["pid"]
    resource.prlimit(supervisor, resource.RLIMIT_NOFILE, (32, 32))
    down = rig.json("down")
    assert (len(down["stopped"]), down["killed"], down["left"]) == (COUNT, [], {})
    rig.until(lambda: not rig.leftovers())
