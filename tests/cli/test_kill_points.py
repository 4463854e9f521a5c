"""The supervisor killed at a named step of a start: the next one adopts; no agent runs twice or is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from .conftest import is_alive
from .test_faults import GATED, PAIR, pids

if TYPE_CHECKING:
    from .conftest import Rig

# Runs a supervisor that is killed when it comes to one method of its own.
BREAKPOINT = """
import importlib, os, signal, sys
where, how = sys.argv.pop(1), sys.argv.pop(1)
module, owner, name = where.split(":")
holder = getattr(importlib.import_module(f"argosy.engine.{module}"), owner)
step = getattr(holder, name)
def killed(*args, **kwargs):
    if how == "after":
        step(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(holder, name, killed)
from argosy.engine.serve import main
sys.exit(main())
"""

STEPS = [
    ("control:ControlServer:publish", "before"),
    ("control:ControlServer:publish", "after"),
    ("forkerlink:ForkerLink:send", "before"),
    ("forkerlink:ForkerLink:send", "after"),
    ("nursery:Nursery:on_birth", "before"),
    ("nursery:Nursery:on_birth", "after"),
    ("crew:Crew:is_rising", "before"),
]


@pytest.mark.parametrize(("where", "how"), STEPS)
def test_a_supervisor_killed_at_a_step_of_a_start(rig: Rig, where: str, how: str) -> None:
    rig.write(GATED, "gated.py")
    path = rig.write(PAIR % "")
    ready, ready_in = os.pipe()
    command = [sys.executable, "-c", BREAKPOINT, where, how, str(path), "toy", str(ready_in)]
    with subprocess.Popen(command, env=rig.env, pass_fds=[ready_in], start_new_session=True) as first:
        os.close(ready_in)
        with open(ready, "rb") as file:
            file.read()  # it is ready, or dead
        up = rig.json("up", "-d")
        assert first.wait(20) == -signal.SIGKILL, "it never came to that step"
    assert sorted(up["ready"]) == ["A", "B"]
    running = pids(rig)
    assert all(map(is_alive, running.values()))
    assert sum("gated.py" in line for line in rig.leftovers()) == len(running)
    assert list(rig.folder.glob("*.twice")) == []
