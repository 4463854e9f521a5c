"""The scenario of the real fleet: its machinery on a small old tree, its counts on the real one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scenarios.old_tree import DECISIONS, write_tree

ROOT = Path(__file__).resolve().parents[2]
LACKS = 3  # the exit code for what this machine has not


def run(*words: str, within_s: float) -> dict[str, Any]:
    """Run the scenario and return its account; skip where the machine lacks what it needs."""
    done = subprocess.run(
        [str(ROOT / "scenarios" / "real-fleet" / "run"), "--json", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=within_s,
    )
    if done.returncode == LACKS and ("namespaces" in done.stderr or "apt-get" in done.stderr):
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["argosy"] == "scenario/1"
    return told


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_small_old_tree_from_nothing_to_what_can_start(tmp_path: Path) -> None:
    write_tree(tmp_path / "tree")
    (tmp_path / "decisions.yaml").write_text(DECISIONS)
    base = str(Path(sys.prefix))
    told = run(
        f"--tree={tmp_path / 'tree'}",
        f"--decisions={tmp_path / 'decisions.yaml'}",
        f"--base={base}",
        "--settle=1",
        within_s=220,
    )
    before, after = told["before"], told["after"]
    assert before["ready"] == []
    assert all("Address already in use" in before["not_ready"][name] for name in ("Registry", "Writer"))
    assert sorted(after["ready"]) == ["Limited", "Registry", "Writer"]
    assert sorted(after["main_port"]) == ["Limited", "Registry", "Writer"]
    assert "it wants a device that is not here" in after["not_ready"]["Heavy"]
    assert after["contexts"] == 3
    assert after["most_contexts"] == 1
    assert after["decisions"] == 1
    assert after["written"]["new"] >= 1  # in the overlay
    assert not (tmp_path / "tree" / "written.txt").exists()
    assert sorted(path.name for path in (tmp_path / "tree").iterdir()) == [
        "agents",
        "core",
        "startup_config.yaml",
    ]


@pytest.mark.slow
@pytest.mark.corpus
@pytest.mark.timeout(1200)
def test_the_real_fleet_comes_up(corpus: Path) -> None:
    told = run(f"--tree={corpus}", "--no-before", within_s=1150)["after"]
    assert len(told["ready"]) + len(told["not_ready"]) == 84
    assert len(told["ready"]) >= 74
    assert len(told["ready"]) - len(told["degraded"]) >= 60
    assert len(told["main_port"]) >= 62
    assert told["decisions"] <= 16
