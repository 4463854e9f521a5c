"""`argosy timeline` of a started fleet: terminal, JSON, HTML page."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from ..conftest import ARGOSY

if TYPE_CHECKING:
    from ..conftest import Rig

CHAIN = """
fleet: toy
defaults: {ready: {probe: notify}}
agents:
  C: {run: speaker.py, needs: [B]}
  B: {run: speaker.py, needs: [A]}
  A: {run: speaker.py}
  Never: {run: missing.py, required: false}
  After: {run: speaker.py, needs: [Never], required: false}
"""


@pytest.fixture
def started(rig: Rig) -> Rig:
    rig.write(CHAIN)
    rig.json("up", "-d")
    return rig


def test_timeline_json_contains_critical_path_and_waits(started: Rig) -> None:
    found = started.json("timeline")
    assert (found["argosy"], found["fleet"], found["environment"]) == ("timeline/1", "toy", "testing")
    assert [step["agent"] for step in found["critical_path"]] == ["A", "B", "C"]
    agents = found["agents"]
    assert {name: agents[name]["waited_for"] for name in "ABC"} == {"A": None, "B": "A", "C": "B"}
    assert 0 < agents["A"]["ready"] < agents["B"]["ready"] < agents["C"]["ready"] <= found["seconds"]
    for name in "ABC":
        assert sum(agents[name]["spent"].values()) <= agents[name]["ready"] + 0.001
    assert agents["Never"]["ready"] is None
    assert "missing.py" in agents["Never"]["end"]
    assert "needs `Never`" in agents["After"]["end"]
    assert {(edge["from"], edge["to"]) for edge in found["edges"]} == {("B", "A"), ("C", "B")}
    assert all(edge["fleet_seconds"] > 0 for edge in found["edges"])


def test_timeline_text_is_ascii_in_pipe(started: Rig) -> None:
    done = started.argosy("timeline")
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert "3 of 5 agents ready" in done.stdout
    assert re.search(r"^\* C +[0-9.]+ s +\.*-*=+$", done.stdout, re.M)
    assert max(map(len, done.stdout.splitlines()[:8])) <= 100


@pytest.mark.parametrize("columns", [60, 120])
def test_timeline_bars_fit_terminal_width(started: Rig, columns: int) -> None:
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("4H", 40, columns, 0, 0))
    env = {**started.env, "TERM": "xterm", "PYTHONIOENCODING": "utf-8"}
    for name in ("NO_COLOR", "COLUMNS"):
        env.pop(name, None)
    words = [ARGOSY, "timeline"]
    process = subprocess.Popen(words, cwd=started.folder, env=env, stdout=side, stderr=side)
    os.close(side)
    data = b""
    while chunk := _read(main):
        data += chunk
    os.close(main)
    assert process.wait() == 0
    text = re.sub(r"\x1b\[[0-9;]*m", "", data.decode())
    bars = [line for line in text.splitlines() if "█" in line and " s  " in line and not line.startswith("·")]
    assert len(bars) == 3
    assert "\x1b[" in data.decode()
    assert max(map(len, bars)) <= columns


def _read(main: int) -> bytes:
    try:
        return os.read(main, 65536)
    except OSError:  # Linux tells the end of the other side so
        return b""


class Page(HTMLParser):
    """Collects the tags of a page, and whether they close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_timeline_page_is_self_contained_and_accessible(started: Rig) -> None:
    done = started.argosy("timeline", "--html", "start.html")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "written to start.html\n")
    text = (started.folder / "start.html").read_text()
    page = Page()
    page.feed(text)
    assert page.open == []
    assert not re.search(r"https?://|src=|url\(|@import", text)
    rows = {attrs["data-name"]: attrs for tag, attrs in page.tags if tag == "tr" and "data-name" in attrs}
    assert {name: attrs["data-waited-for"] for name, attrs in rows.items()}["C"] == "B"
    assert all(attrs["tabindex"] == "0" for attrs in rows.values())
    links = {attrs["href"] for tag, attrs in page.tags if tag == "a"}
    assert links <= {f"#{attrs['id']}" for attrs in rows.values()}


def test_timeline_reports_errors_with_exit_codes(rig: Rig) -> None:
    rig.write(CHAIN)
    error = rig.json("timeline", code=1)
    assert error["errors"][0]["code"] == "never-started"
    rig.json("up", "-d", "--only", "A")
    assert rig.json("timeline", "--html", "no/such/folder.html", code=1)["errors"][0]["code"] == "unwritable"
    assert rig.json("timeline", "A", code=2)["errors"][0]["code"] == "usage"
