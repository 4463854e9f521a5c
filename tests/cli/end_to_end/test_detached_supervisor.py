"""Detached supervisor: its process inherits nothing from the client that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rig.fleet import Rig

FLEET = """
fleet: toy
defaults: {ready: {probe: notify}}
agents:
  A: {run: agent.py}
"""
# A client with a file open, a signal handled and, where it is asked to, a thread beside it.
CLIENT = """
import pathlib, signal, sys, threading
from argosy.engine.supervisor.connect_or_start import connect_or_start
from argosy.engine.state.state_dir import locate_state_dir
signal.signal(signal.SIGUSR1, lambda *_: None)
kept = open(sys.argv[1])
if sys.argv[2] == "threads":
    threading.Thread(target=threading.Event().wait, daemon=True).start()
sys.stdout.write("before")
path = pathlib.Path(sys.argv[1])
with connect_or_start(path, "toy", locate_state_dir(path), "test") as client:
    print(client.welcome.pid, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["alone", "threads"])
def test_detached_supervisor_inherits_nothing_from_client(rig: Rig, kind: str) -> None:
    rig.write(FLEET)
    fleet = str(rig.folder / "fleet.yaml")
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, fleet, kind],
        env=rig.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=rig.folder,
    )
    assert client.stdout is not None
    said = client.stdout.readline().decode()
    assert said.startswith("before"), "said once, by the client"
    pid = int(said.removeprefix("before"))
    process = Path(f"/proc/{pid}")
    assert os.getsid(pid) == pid
    assert os.readlink(process / "cwd") == "/"
    targets = [os.readlink(each) for each in (process / "fd").iterdir()]
    assert fleet not in targets
    assert os.readlink(process / "fd/0") == os.devnull
    assert os.readlink(process / "fd/1") == os.readlink(process / "fd/2")
    assert os.readlink(process / "fd/1").endswith("supervisor.log")
    caught = int(
        next(line for line in (process / "status").read_text().splitlines() if "SigCgt" in line)[7:], 16
    )
    assert not caught & 1 << signal.SIGUSR1 - 1
    assert b"supervisor" in (process / "cmdline").read_bytes()
    client.communicate(b"", timeout=30)
    assert client.returncode == 0
    rig.until(lambda: not rig.leftovers())
    assert b"before" not in next(rig.folder.parent.rglob("supervisor.log")).read_bytes()


def test_supervisor_exits_silently_if_client_dies_during_start(rig: Rig) -> None:
    rig.write(FLEET)
    reading, writing = os.pipe()
    os.close(reading)
    words = [
        sys.executable,
        "-m",
        "argosy.engine.supervisor.entrypoint",
        str(rig.folder / "fleet.yaml"),
        "toy",
        str(writing),
    ]
    done = subprocess.run(
        words, env=rig.env, pass_fds=[writing], capture_output=True, timeout=60, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_help_ignores_closed_pipe() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    for words in (["--help"], ["--version"]):
        done = subprocess.run(
            [sys.executable, "-m", "argosy", *words], stdout=writing, stderr=subprocess.PIPE, check=False
        )
        assert (done.returncode, done.stderr) == (0, b"")
    os.close(writing)
