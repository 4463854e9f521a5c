"""Real fleet scenario: end to end on a small legacy tree, and its counts on the real tree."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from launch import until
from rig.needs import require
from scenarios.legacy_tree import DECISIONS, write_tree

ROOT = Path(__file__).resolve().parents[2]
EXIT_UNAVAILABLE = 3  # the exit code for what this machine has not
# Its packages are a gigabyte, and compiled in part.
needs_default_venv = pytest.mark.skipif(
    os.environ.get("ARGOSY_VENV", ".venv") != ".venv",
    reason="it comes up on the Python of .venv alone",
)


def run(*words: str, within_s: float) -> dict[str, Any]:
    """Run the scenario and return its account; skip where the machine lacks what it needs."""
    require("unshare", "setpriv", "ip", "mount", "redis-server")
    done = subprocess.run(
        [str(ROOT / "scenarios" / "real-fleet" / "run"), "--json", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=within_s,
    )
    if done.returncode == EXIT_UNAVAILABLE and ("namespaces" in done.stderr or "apt-get" in done.stderr):
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["argosy"] == "scenario/1"
    return result


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_real_fleet_scenario_starts_small_legacy_tree(tmp_path: Path) -> None:
    write_tree(tmp_path / "old tree")
    (tmp_path / "decisions.yaml").write_text(DECISIONS)
    base = str(Path(sys.prefix))
    result = run(
        f"--tree={tmp_path / 'old tree'}",
        f"--decisions={tmp_path / 'decisions.yaml'}",
        f"--base={base}",
        "--settle=1",
        within_s=220,
    )
    before, after = result["before"], result["after"]
    assert before["ready"] == []
    assert all("Address already in use" in before["not_ready"][name] for name in ("Registry", "Writer"))
    ready = ["Clock", "Gauge", "Limited", "Painter", "Reader", "Registry", "Teller", "Writer"]
    assert sorted(after["ready"]) == ready
    assert sorted(after["main_port"]) == ready
    assert list(after["degraded"]) == ["Painter"]
    assert "without torch" in after["degraded"]["Painter"][0]
    assert "it wants a device that is not here" in after["not_ready"]["Heavy"]
    assert after["contexts"] == len(ready)
    assert after["most_contexts"] == 1
    assert after["killed"] == []
    assert after["decisions"] == 1
    audits = result["audits"]["both"]
    assert audits["before"]["health"] > audits["after"]["health"]
    assert after["written"]["new"] >= 1  # in the overlay
    assert not (tmp_path / "old tree" / "written.txt").exists()
    found = {str(path.relative_to(tmp_path / "old tree")) for path in (tmp_path / "old tree").rglob("*")}
    assert not [path for path in found if ".argosy" in path or path == "fleet.yaml"]


@needs_default_venv
@pytest.mark.slow
@pytest.mark.corpus
@pytest.mark.timeout(1200)
def test_real_fleet_starts(corpus: Path) -> None:
    require("gcc", "/usr/include/portaudio.h")
    result = run(f"--tree={corpus}", "--quick", within_s=1150)["after"]
    assert len(result["ready"]) + len(result["not_ready"]) == 84
    assert len(result["ready"]) >= 76
    assert len(result["ready"]) - len(result["degraded"]) >= (60 if result["absent_programs"] else 63)
    assert len(result["main_port"]) >= 66
    assert result["decisions"] <= 16
    assert result["contexts"] <= result["processes"] + 6


@needs_default_venv
@pytest.mark.soak
@pytest.mark.corpus
@pytest.mark.timeout(3600)
def test_every_ablation_starts_fewer_agents_of_real_fleet(corpus: Path) -> None:
    require("gcc", "/usr/include/portaudio.h")
    result = run(f"--tree={corpus}", "--full", within_s=3500)
    before, after = result["before"], result["after"]
    assert before["ready"] == []
    assert after["rules_only"] >= 30
    assert after["shared_only"] >= 66
    assert len(after["ready"]) >= 80
    assert len(after["ready"]) - len(after["degraded"]) >= (63 if after["absent_programs"] else 66)
    assert len(after["main_port"]) >= 68
    assert after["decisions"] <= 16
    assert all(count <= len(after["ready"]) - 3 for count in result["ablation"].values())


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_killed_scenario_leaves_no_processes_or_files(tmp_path: Path, number: int) -> None:
    write_tree(tmp_path / "tree")
    temp_dir = tmp_path / "temp_dir"
    temp_dir.mkdir()
    words = [f"--tree={tmp_path / 'tree'}", f"--base={sys.prefix}", "--settle=60", "--no-before"]
    empty = tmp_path / "decisions.yaml"
    empty.write_text("{}")
    command = [str(ROOT / "scenarios" / "real-fleet" / "run"), f"--decisions={empty}", *words]
    started = subprocess.Popen(
        command,
        env={**os.environ, "TMPDIR": str(temp_dir)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert started.stderr
    said = []
    for line in started.stderr:
        said.append(line)
        if "settling" in line:
            break
    if "settling" not in said[-1]:
        pytest.skip("".join(said))
    started.send_signal(number)
    started.communicate(timeout=90)
    until(lambda: not any(str(temp_dir).encode() in said for said in _processes()))
    if number == signal.SIGKILL:  # the next run, for a tree that is not there, takes its folder away
        done = subprocess.run(
            [*command, "--tree=none"], env={**os.environ, "TMPDIR": str(temp_dir)}, check=False
        )
        assert done.returncode == EXIT_UNAVAILABLE
    assert list(temp_dir.iterdir()) == []


def _processes() -> Iterator[bytes]:
    """Yield the command line and the variables of each process of this machine."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                yield (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
