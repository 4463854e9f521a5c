"""`argosy logs`: merges and follows log files, also under a flood and with a closed reader."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

from rig.fleet import ARGOSY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..conftest import Rig

CHAIN = """
fleet: toy
defaults: {ready: {probe: notify}}
agents:
  C: {run: speaker.py, needs: [B]}
  B: {run: speaker.py, needs: [A]}
  A: {run: speaker.py}
  D: {run: [sleep, "1000"], ready: {probe: alive, seconds: 0.05}}
"""
# One writes without a pause, one now and then; the limits are those of a few moments.
FLOODED = """
fleet: flooded
logs: {size: 1MiB, total: 8MiB}
defaults: {ready: {probe: alive, seconds: 0}}
agents:
  Flood: {run: flood.py}
  Quiet: {run: quiet.py}
"""
FLOOD = """
import os
while True:
    os.write(1, (b"x" * 99 + b"\\n") * 5000)
"""
QUIET = """
import time
n = 0
while True:
    print(n, flush=True)
    n += 1
    time.sleep(0.02)
"""


def test_logs_merges_lines_by_time_and_marks_restarts(rig: Rig) -> None:
    rig.write(CHAIN)
    rig.json("up", "-d")
    old = rig.pid("A")
    os.kill(old, signal.SIGKILL)
    rig.until(lambda: rig.agents()["A"]["state"] == "ready" and rig.pid("A") != old)
    rig.until(lambda: rig.argosy("logs", "A", "--json").stdout.count('"up A"') == 2)
    lines = [json.loads(line) for line in rig.argosy("logs", "--json").stdout.splitlines()]
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    mine = [(line["line"], line["pid"]) for line in lines if line["agent"] == "A"]
    assert mine == [("", old), ("up A", None), ("", rig.pid("A")), ("up A", None)]
    last = rig.argosy("logs", "-n", "1").stdout.splitlines()
    assert len(last) == 1
    assert "up A" in last[0]
    wrong = rig.argosy("logs", "Aa")
    assert wrong.returncode == 2
    assert "`A`" in wrong.stderr


def test_logs_follow_continues_after_restart(rig: Rig) -> None:
    rig.write(CHAIN)
    rig.json("up", "-d")
    follow = rig.start("logs", "-f", "A", "--json")
    assert follow.stdout is not None
    seen = [json.loads(follow.stdout.readline()) for _ in range(2)]
    assert seen[1]["line"] == "up A"
    time.sleep(0.05)  # let the follower reach its watch; the assertion below does not rest on it
    rig.json("restart", "A")
    more = [json.loads(follow.stdout.readline()) for _ in range(2)]
    assert more[0]["pid"] == rig.pid("A")
    assert more[1]["line"] == "up A"
    follow.send_signal(signal.SIGINT)
    follow.communicate(timeout=10)
    assert follow.returncode == 0


def entries(follow: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    assert follow.stdout is not None
    for line in follow.stdout:
        yield json.loads(line)


def test_logs_follow_shows_other_agents_and_lost_bytes_under_flood(rig: Rig) -> None:
    rig.write(FLOODED)
    rig.write(FLOOD, "flood.py")
    rig.write(QUIET, "quiet.py")
    rig.json("up", "-d")
    follow = rig.start("logs", "-f", "--json")
    lost, quiet = [], []
    for entry in entries(follow):
        if entry["lost_bytes"]:
            lost.append(entry)
        elif entry["agent"] == "Quiet" and not entry["seam"]:
            quiet.append(int(entry["line"]))
        if len(lost) > 1 and len(quiet) > 20:
            break
    assert quiet == list(range(len(quiet)))
    assert {entry["agent"] for entry in lost} == {"Flood"}
    assert all(entry["lost_since"] <= entry["at"] for entry in lost)
    os.kill(rig.pid("Flood"), signal.SIGSTOP)  # what is written between two looks comes on top of the bound
    logs = list(rig.folder.glob("state/argosy/*/log/*.log"))
    rig.until(lambda: sum(log.stat().st_blocks * 512 for log in logs) <= 8 * 2**20)
    follow.send_signal(signal.SIGINT)  # it is in the middle of a line that nobody takes
    assert follow.wait(timeout=10) == 0


def test_logs_follow_exits_when_reader_closes_pipe(rig: Rig) -> None:
    """The broken pipe was an event loop's affair, which went on."""
    rig.write(FLOODED.replace("  Flood: {run: flood.py}\n", ""))
    rig.write(QUIET, "quiet.py")
    rig.json("up", "-d")
    follow = rig.start("logs", "-f")
    assert follow.stdout is not None
    follow.stdout.readline()
    follow.stdout.close()
    follow.stdout = None
    assert follow.wait(timeout=10) == 0


def test_logs_reports_agent_without_logs_and_follow_waits_for_it(rig: Rig) -> None:
    rig.write(CHAIN)
    for words, who in (("logs",), "this fleet"), (("logs", "B"), "B"), (("logs", "B", "--json"), "B"):
        found = rig.argosy(*words)
        assert (found.returncode, found.stdout) == (0, "")
        assert f"{who} has not run here yet" in found.stderr
    assert "did you mean `B`" in rig.argosy("logs", "Bb").stderr
    follow = rig.start("logs", "-f", "B", "--json")  # nothing of this fleet is there
    assert follow.stdout is not None
    assert follow.stdout.readline() == b"B has not run here yet: waiting for its first line\n"
    rig.json("up", "-d", "--only", "A")
    assert "B has not run here yet" in rig.argosy("logs", "B").stderr  # others have
    rig.json("up", "-d", "--only", "B")
    assert [json.loads(follow.stdout.readline())["line"] for _ in range(2)] == ["", "up B"]


def test_logs_escapes_control_characters_on_terminal_only(rig: Rig) -> None:
    """A title, a cleared screen or a moved cursor falsifies what a person reads."""
    rig.write(
        r"""
        fleet: rude
        agents:
          Rude:
            run: [sh, -c, 'printf "\033]0;owned\007\033[2Jhello\n"; sleep 1000']
            ready: {probe: log, pattern: hello}
        """
    )
    rig.json("up", "-d")
    raw = "\033]0;owned\007\033[2Jhello"
    assert raw in rig.argosy("logs").stdout
    leader, terminal = pty.openpty()
    process = subprocess.Popen(
        [ARGOSY, "logs"], cwd=rig.folder, env={**rig.env, "NO_COLOR": "1"}, stdout=terminal
    )
    os.close(terminal)
    assert process.wait(30) == 0
    shown = os.read(leader, 65536).decode()
    os.close(leader)
    assert "\033" not in shown
    assert "^[]0;owned^G^[[2Jhello" in shown
