"""Pid reuse: a thread of another process that has the number of a dead agent is not that agent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).resolve().parents[2]
APART = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


@pytest.fixture
def runtime() -> Any:
    with tempfile.TemporaryDirectory(prefix="argosy-t-", dir="/tmp") as folder:
        yield folder


def answers(folder: Path, runtime: str, *verbs: str) -> dict[str, Any]:
    """Return what the verbs answer while B's old number is a thread's."""
    probe = "open('/proc/sys/kernel/ns_last_pid', 'w').write('100')"
    if subprocess.run([*APART, sys.executable, "-c", probe], capture_output=True, check=False).returncode:
        pytest.skip(
            "a pid namespace of one's own, with its ns_last_pid, is not allowed here (it is for root)"
        )
    done = subprocess.run(
        [*APART, sys.executable, "-m", "rig.threadnumber", str(folder), runtime, *verbs],
        env=dict(os.environ, PYTHONPATH=str(TESTS)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_status_and_up_ignore_thread_that_reuses_pid_of_dead_agent(tmp_path: Path, runtime: str) -> None:
    found = answers(tmp_path, runtime, "status", "up -d", "status")
    unseen, up, after = found["answers"]
    before = found["before"]
    assert unseen["said"]["argosy"] == "status/1", unseen
    assert unseen["said"]["agents"]["A"]["pid"] == before["A"]
    assert unseen["said"]["agents"]["B"]["pid"] is None
    assert up["code"] == 0, up
    assert (sorted(up["said"]["ready"]), up["said"]["adopted"]) == (["A", "B"], ["A"])
    assert after["said"]["agents"]["B"]["pid"] not in (None, before["B"])


def test_down_ignores_thread_that_reuses_pid_of_dead_agent(tmp_path: Path, runtime: str) -> None:
    found = answers(tmp_path, runtime, "down")
    (down,) = found["answers"]
    assert (down["code"], down["said"]["stopped"]) == (0, ["A"]), down
    assert found["left"] == [found["before"]["B"]], "the thread of the test goes on"
