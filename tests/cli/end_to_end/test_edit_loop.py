"""Edits to the code of a running fleet: broken code is refused, fixed code restarts, retries are limited."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

from ..conftest import SPEAKER

if TYPE_CHECKING:
    from pathlib import Path

    from ..conftest import Rig

FLEET = """
fleet: toy
defaults: {ready: {probe: notify}}
agents:
  A: {run: a.py}
  B: {run: b.py}
"""
VOICE = """
import msgspec
from argosy.agent import Agent

class Options(msgspec.Struct):
    voice: str = "en"

class Voice(Agent):
    Options = Options
"""
UNPARSED = SPEAKER + "x = (\n"


@pytest.fixture
def started(rig: Rig) -> Rig:
    for name in ("a.py", "b.py"):
        (rig.folder / name).write_text(SPEAKER)
    rig.write(FLEET)
    rig.json("up", "-d")
    return rig


def pids(rig: Rig) -> dict[str, Any]:
    return {name: agent["pid"] for name, agent in rig.agents().items()}


@pytest.mark.parametrize("words", [("--changed",), ("A", "B"), ("--rolling",)])
def test_restart_refuses_agent_with_syntax_error_and_keeps_it_running(
    started: Rig, words: tuple[str, ...]
) -> None:
    before = pids(started)
    (started.folder / "a.py").write_text(UNPARSED)
    (started.folder / "b.py").write_text(SPEAKER + "# edited\n")
    done = started.argosy("restart", *words)
    assert done.returncode == 1
    assert "refused  A: a.py:11:5: S101 does not parse: '(' was never closed" in done.stdout
    assert "`A` keeps running; `--anyway` restarts it despite this" in done.stdout
    after = pids(started)
    assert after["A"] == before["A"]
    assert (after["B"] == before["B"]) == (words == ("--rolling",))


def test_restart_refuses_agent_whose_dependent_cannot_start(rig: Rig) -> None:
    (rig.folder / "a.py").write_text(SPEAKER)
    rig.write(
        FLEET.replace("A: {run: a.py}", "A: {run: a.py, needs: [{agent: B, on_death: stop}]}").replace(
            "b.py", "speaker.py"
        )
    )
    rig.json("up", "-d")
    before = pids(rig)
    (rig.folder / "a.py").write_text("import nowhere_local.thing\nfrom speaker import nothing\n" + SPEAKER)
    told = rig.json("restart", "B", "--dry-run")
    done = rig.json("restart", "B", code=1)
    assert done["refused"] == told["refused"]
    assert done["refused"]["B"]["where"] in ("a.py:1:1", "a.py:2:1")
    assert (done["restarted"], pids(rig)) == ([], before)


def test_restart_changed_starts_agent_after_syntax_error_is_fixed(started: Rig) -> None:
    (started.folder / "a.py").write_text(UNPARSED)
    done = started.json("restart", "--changed", "--anyway", code=1)
    assert done["not_ready"] == {"A": "cannot start: a.py:11:5: does not parse: '(' was never closed"}
    again = started.argosy("restart", "--changed")
    assert "down  A: cannot start: a.py:11:5" in again.stdout
    assert "`argosy restart A` starts it" in again.stdout
    (started.folder / "a.py").write_text(SPEAKER)
    mended = started.json("restart", "--changed")
    assert (mended["changed"], mended["restarted"]) == ({"A": ["a.py"]}, ["A"])


def test_restart_changed_starts_exited_agent_after_its_code_changes(rig: Rig) -> None:
    (rig.folder / "a.py").write_text("import sys\nsys.exit(3)\n")
    (rig.folder / "b.py").write_text(SPEAKER)
    rig.write(FLEET.replace("A: {run: a.py}", "A: {run: a.py, restart: never}"))
    rig.json("up", "-d", code=1)
    assert list(rig.json("restart", "--changed")["down"]) == ["A"]
    (rig.folder / "a.py").write_text(SPEAKER)
    assert rig.json("restart", "--changed")["restarted"] == ["A"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = (\n", "a.py:1:5: does not parse: '(' was never closed"),
        (
            "from b import nothing\n",
            "a.py:1:1: cannot import `nothing` from `b`: the module does not bind it",
        ),
    ],
)
def test_supervisor_does_not_retry_script_that_cannot_be_imported(rig: Rig, text: str, reason: str) -> None:
    (rig.folder / "b.py").write_text("if __name__ == '__main__':\n" + SPEAKER.replace("\n", "\n    ") + "\n")
    (rig.folder / "a.py").write_text(text)
    rig.write(FLEET)
    done = rig.json("up", "-d", code=1)
    assert done["not_ready"] == {"A": f"cannot start: {reason}"}
    log = next(rig.state().rglob("A.log")).read_text()
    assert log.count("Error: ") == 1


@pytest.mark.parametrize(
    ("agent", "reason"),
    [
        ('run: "voice:Voice", args: [--voic, de]', "there is no option `--voic`"),
        ('run: "voice:Nope"', "`Nope` of `voice` is not there"),
        ('run: "broken:Voice"', "broken.py:1:5: does not parse: '(' was never closed"),
        ('run: "voice:Voice", args: [--voic, de], cell: one', "`A` there is no option `--voic`"),
        ('run: "broken:Voice", cell: one', "`A` broken.py:1:5: does not parse: '(' was never closed"),
    ],
)
def test_supervisor_does_not_retry_agent_with_wrong_option_or_class(
    rig: Rig, agent: str, reason: str
) -> None:
    (rig.folder / "voice.py").write_text(VOICE)
    (rig.folder / "broken.py").write_text("x = (\n")
    rig.write(f"fleet: toy\nagents:\n  A: {{{agent}}}\n  B: {{run: speaker.py, ready: {{probe: notify}}}}\n")
    done = rig.json("up", "-d", code=1)
    assert reason in done["not_ready"]["A"]
    assert "cannot start: " in done["not_ready"]["A"]
    assert rig.agents()["A"]["restarts"] == 0


def test_supervisor_retries_start_after_transient_failure(rig: Rig) -> None:
    (rig.folder / "a.py").write_text(
        "import os, sys\nif not os.path.exists('seen'):\n    open('seen', 'w').close()\n    sys.exit(1)\n"
        + SPEAKER
    )
    (rig.folder / "b.py").write_text(SPEAKER)
    rig.write(FLEET)
    rig.json("up", "-d")
    assert rig.agents()["A"]["restarts"] == 1


def test_start_failure_shows_no_log_lines_of_earlier_start(rig: Rig, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        limits = "restart_limit: {times: 1, within: 60s}"
        text = "fleet: toy\nagents:\n  A: {run: a.py, %s}\n  B: {run: speaker.py, ready: {probe: notify}}\n"
        (rig.folder / "a.py").write_text("raise SystemExit('the old trouble')\n")
        rig.write(text % limits)
        assert rig.json("up", "-d", code=1)["last_lines"] == {"A": ["the old trouble"]}
        rig.write(text % f"port: {port}, {limits}")
        done = rig.json("up", "-d", code=1)
        assert f"port {port} held by pid" in done["not_ready"]["A"]
        assert done["last_lines"] == {}
        assert rig.agents()["A"]["last_lines"] == []
    (rig.folder / "a.py").write_text("raise SystemExit(4)\n")
    rig.write(text % limits)
    assert "no output" in rig.json("up", "-d", code=1)["not_ready"]["A"]


def test_up_refuses_restart_of_agent_with_syntax_error(started: Rig) -> None:
    before = pids(started)
    (started.folder / "a.py").write_text(UNPARSED)
    started.write(FLEET.replace("{run: a.py}", "{run: a.py, env: {NEW: value}}"))
    (fault,) = started.json("up", "-d", code=1)["errors"]
    assert (fault["where"], fault["code"]) == ("a.py:11:5", "S101")
    assert pids(started) == before
    started.write(FLEET.replace("{run: b.py}", "{run: b.py, env: {NEW: value}}"))
    started.json("up", "-d")  # A runs on as it is: nothing of it changes
    after = pids(started)
    assert (after["A"] == before["A"], after["B"] == before["B"]) == (True, False)
    started.write(FLEET.replace("{run: a.py}", "{run: a.py, env: {NEW: value}}"))
    assert list(started.json("up", "-d", "--anyway", code=1)["not_ready"]) == ["A"]


def test_up_hint_names_interpreter_that_lacks_package(rig: Rig) -> None:
    (rig.folder / "python").symlink_to(sys.executable)
    (rig.folder / "a.py").write_text("import yaml_absent, cv2\n")
    (rig.folder / "yaml_absent.py").touch()
    rig.write(
        FLEET.replace("{run: a.py}", "{run: a.py, python: ./python, restart: never}").replace(
            "b.py", "speaker.py"
        )
    )
    done = rig.argosy("up", "-d")
    assert done.returncode == 1
    assert f"hint: `{rig.folder}/python -m pip install opencv-python-headless`" in done.stdout
