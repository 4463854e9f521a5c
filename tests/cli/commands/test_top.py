"""`argosy top`: keys and exit codes on a pseudo terminal, and the text of its table."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

from argosy.cli.render.top_view import CpuUsage, describe_hidden_rows, format_table, make_rows, summary_line
from argosy.engine.protocol.messages import AgentStatus, FleetStatus
from argosy.engine.protocol.state_machine import State
from rig.fleet import ARGOSY, Rig


class Terminal:
    """A process on a terminal of 100 x 20, and what it has drawn."""

    def __init__(self, rig: Rig, *words: str) -> None:
        self.master, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 100, 0, 0))
        self.before = termios.tcgetattr(inner)
        # Those of the terminal that runs the tests would go before the size of this one.
        sized = {name: value for name, value in rig.env.items() if name not in ("LINES", "COLUMNS")}
        self.inner = inner
        self.process = subprocess.Popen(
            [ARGOSY, *words],
            cwd=rig.folder,
            env={**sized, "TERM": "xterm"},
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
        )
        self.text = ""

    def until(self, pattern: str) -> None:
        """Read until the pattern is drawn, then forget what was."""
        end = time.monotonic() + 30
        while not re.search(pattern, self.text):
            ready, _, _ = select.select([self.master], [], [], max(end - time.monotonic(), 0))
            assert ready, f"`{pattern}` was not drawn: {self.text!r}"
            self.text += os.read(self.master, 65536).decode("utf-8", "replace")
        self.text = ""

    def keys(self, text: str) -> None:
        os.write(self.master, text.encode())

    def hang_up(self) -> int:
        """Close the terminal under it."""
        os.close(self.master)
        os.close(self.inner)
        return self.process.wait(30)

    def close(self) -> int:
        code = self.process.wait(30)
        is_as_before = termios.tcgetattr(self.inner)[3] == self.before[3]
        os.close(self.master)
        os.close(self.inner)
        assert is_as_before, "the terminal is as it was"
        return code


def test_top_draws_handles_keys_and_exits(rig: Rig) -> None:
    rig.write(
        "fleet: toy\ndefaults: {ready: {probe: notify}, run: speaker.py}\nagents: {Anna: {}, Berta: {}}\n"
    )
    rig.json("up", "-d")
    terminal = Terminal(rig, "top")
    terminal.until("Berta")
    terminal.keys("s")
    terminal.until("name")
    os.kill(rig.pid("Berta"), 9)
    rig.until(lambda: rig.agents()["Berta"]["restarts"] == 1)
    terminal.keys("\n")
    terminal.until("last lines of Anna")
    terminal.keys("\n")
    terminal.keys("/bert\n")
    terminal.until("with `bert`")
    terminal.keys("q")
    assert terminal.close() == 0
    assert rig.json("status")["agents"]["Anna"]["state"] == "ready", "the fleet keeps running"
    terminal = Terminal(rig, "top")
    terminal.until("Anna")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.close() == 130
    terminal = Terminal(rig, "top")
    terminal.until("Anna")
    assert terminal.hang_up() == 130


def test_top_reports_missing_terminal_or_fleet(rig: Rig) -> None:
    rig.write("fleet: toy\nagents: {A: {run: speaker.py}}\n")
    done = rig.argosy("top")
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr
    terminal = Terminal(rig, "top")
    terminal.until("this fleet is not running")
    assert terminal.close() == 1


def status(state: State, **more: object) -> AgentStatus:
    keys: dict[str, object] = {
        "health": None,
        "pid": None,
        "machine": None,
        "group": None,
        "port": None,
        "restarts": 0,
        "since_s": 0.0,
        "waiting_on": [],
        "reason": "",
        "rss_bytes": None,
        "pss_bytes": None,
        "sampled_s": None,
    }
    return AgentStatus(state=state, **{**keys, **more})  # type: ignore[arg-type]


AGENTS = {
    "Anna": status(State.READY, pid=1, pss_bytes=2**20, since_s=10.0),
    "Berta": status(State.GIVEN_UP, reason="exited with code 1"),
    "Clara": status(State.WAITING, waiting_on=["Berta"], group="voices"),
}
REPORT = FleetStatus(fleet="toy", environment="testing", pid=1, started_s=0.0, machines=[], agents=AGENTS)


def test_top_rows_sort_by_severity_name_cpu_and_memory() -> None:
    def order(name: str, wanted: str = "") -> list[str]:
        return [row.agent for row in make_rows(REPORT, {1: 5.0}, name, wanted, 70.0)]  # type: ignore[arg-type]

    assert order("severity") == ["Berta", "Clara", "Anna"]
    assert order("name") == order("cpu") == order("memory") == ["Anna", "Berta", "Clara"]
    assert order("name", "VOICE") == ["Clara"]
    assert summary_line(REPORT, 1, "name", "voice") == "toy (testing): 1 of 3 ready, by name, 1 with `voice`"


def test_top_table_is_aligned_and_truncated() -> None:
    rows = make_rows(REPORT, {1: 5.0}, "name", "", 70.0)
    head, lines = format_table(rows, 200)
    assert lines[0].split() == ["✔", "Anna", "ready", "1m", "1", "5.0", "1.0"]
    assert lines[1].endswith("exited with code 1")
    assert lines[2].endswith("waits for Berta")
    assert head.index("STATE") == lines[2].index("waiting")
    assert max(map(len, format_table(rows, 30)[1])) <= 30


NARROW = FleetStatus(
    fleet="toy",
    environment="testing",
    pid=1,
    started_s=0.0,
    machines=[],
    agents={
        "LearningOrchestrationService": status(State.READY, pid=41234, pss_bytes=7 * 2**20, group="learning"),
        "Responder": status(
            State.GIVEN_UP,
            restarts=5,
            group="language_processing",
            reason="given up after 5 restarts: exited with code 3; last line: no such voice",
        ),
    },
)


def test_top_table_of_80_columns_shows_cpu_memory_restarts_and_cause() -> None:
    rows = make_rows(NARROW, {41234: 12.3}, "severity", "", 70.0)
    head, lines = format_table(rows, 79)
    assert head.split() == ["AGENT", "STATE", "CPU%", "MiB", "RST", "NOTE"]
    assert lines[0].split()[:4] == ["✘", "Responder", "given-up", "5"]
    assert "exited with code 3" in lines[0]  # the cause, and not the state again
    assert lines[0].endswith("…")
    assert lines[1].split() == ["✔", "LearningOrchestrationService", "ready", "12.3", "7.0"]
    assert max(map(len, (head, *lines))) <= 79
    assert rows[0].summary.endswith("5 restarts: exited with code 3; last line: no such voice")
    wide = format_table(rows, 200)[0].split()
    assert " ".join(wide) == "AGENT GROUP STATE PID CPU % PSS MiB RESTARTS NOTE"  # nobody has an age


def test_top_counts_rows_beyond_screen() -> None:
    assert describe_hidden_rows(0, 64) == "64 more below (arrows, page down)"
    assert describe_hidden_rows(3, 61) == "3 more above, 61 more below (arrows, page up, page down)"
    assert describe_hidden_rows(64, 0) == "64 more above (arrows, page up)"
    assert describe_hidden_rows(0, 0) == ""


def test_top_shows_full_cause_of_selected_agent_and_hidden_row_count(rig: Rig) -> None:
    rig.write(
        "import sys\nprint('no such voice: alto, tenor or bass is known here', flush=True)\nsys.exit(3)\n",
        "voice.py",
    )
    others = "".join(f"  Agent{number}: {{run: speaker.py}}\n" for number in range(16))
    rig.write(
        "fleet: toy\ndefaults: {ready: {probe: notify}, restart_limit: {times: 1, within: 60s}}\nagents:\n"
        f"  Voice: {{run: voice.py}}\n{others}"
    )
    rig.argosy("up", "-d")
    terminal = Terminal(rig, "top")
    terminal.until(r"3 more below \(arrows, page down\)(?s:.*)Voice, given-up for(?s:.*)is known here")
    terminal.keys("q")
    assert terminal.close() == 0


def test_cpu_usage_is_reported_from_second_sample() -> None:
    processors = CpuUsage()
    assert processors.sample([os.getpid(), 2**22 + 1]) == {}
    assert set(processors.sample([os.getpid()])) == {os.getpid()}
