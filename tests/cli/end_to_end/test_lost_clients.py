"""Lost clients: a client killed in the middle of a change does not block the next client."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..conftest import Rig

MUTE = "import signal\nsignal.pause()\n"


def test_killed_up_does_not_block_next_up(rig: Rig) -> None:
    rig.write(MUTE, "mute.py")
    rig.write(
        "fleet: toy\ndefaults: {ready: {probe: notify}}\nagents: {A: {run: mute.py}, B: {run: speaker.py}}\n"
    )
    up = rig.start("up", "-d")
    rig.until(lambda: rig.agents().get("B", {}).get("state") == "ready")
    up.kill()
    up.wait()
    again = rig.json("up", "-d", "--timeout", "0.5", code=1)
    assert (again["ready"], list(again["not_ready"])) == (["B"], ["A"])
    assert "this start were over" in again["not_ready"]["A"]


def test_killed_restart_does_not_block_next_up(rig: Rig) -> None:
    rig.write("fleet: toy\nagents: {A: {run: speaker.py, ready: {probe: notify}}}\n")
    rig.json("up", "-d")
    rig.write(MUTE, "speaker.py")
    restart = rig.start("restart", "A")
    rig.until(lambda: rig.agents()["A"]["state"] == "starting")
    restart.kill()
    restart.wait()
    assert list(rig.json("up", "-d", "--timeout", "0.5", code=1)["not_ready"]) == ["A"]


def test_second_down_continues_stop_of_killed_down(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        agents: {A: {run: speaker.py, args: [deaf], ready: {probe: notify}, stop_timeout: 60s}}
        """)
    rig.json("up", "-d")
    agent = rig.pid("A")
    first = rig.start("down")
    rig.until(lambda: rig.agents()["A"]["state"] == "stopping")
    first.kill()
    first.wait()
    second = rig.start("down", "--json")
    busy = rig.argosy("up", "-d")
    assert busy.returncode == 1
    assert "argosy down" in busy.stderr
    os.kill(agent, signal.SIGKILL)
    out, _ = second.communicate(timeout=20)
    assert second.returncode == 0, out
    assert json.loads(out)["stopped"] == ["A"]
    rig.until(lambda: not rig.leftovers())


def test_up_reports_agents_stopped_by_concurrent_down(rig: Rig) -> None:
    rig.write(MUTE, "mute.py")
    rig.write("fleet: toy\nagents: {A: {run: mute.py, ready: {probe: notify}}}\n")
    up = rig.start("up", "-d")
    rig.until(lambda: rig.agents().get("A", {}).get("state") == "starting")
    rig.json("down")
    out, _ = up.communicate(timeout=20)
    assert up.returncode == 1
    assert b"stopped by `argosy down`: A" in out
    assert b"not ready  A" not in out
    assert b"hint" not in out, "there is nothing to look at in its log"


def test_interrupted_up_reports_stopped_agents(rig: Rig) -> None:
    rig.write("fleet: toy\ndefaults: {ready: {probe: notify}}\nagents: {A: {run: speaker.py}}\n")
    rig.json("up", "-d")
    assert rig.json("status")["file_changed"] is False
    rig.write(MUTE, "mute.py")
    rig.write("fleet: toy\ndefaults: {ready: {probe: notify}}\nagents: {A: {run: mute.py}}\n")
    assert rig.json("status")["file_changed"] is True
    assert "fleet.yaml has changed since it was applied" in rig.argosy("status").stdout
    up = rig.start("up", "-d")
    rig.until(lambda: rig.agents()["A"]["state"] == "starting")
    assert rig.json("status")["file_changed"] is False
    up.send_signal(signal.SIGINT)
    out, _ = up.communicate(timeout=20)
    assert up.returncode == 130
    assert b"stopped now: A; `argosy up -d` starts them again" in out
