"""The supervise bench on a fleet of three, as a program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .test_start import write_fleet

BENCH = Path(__file__).resolve().parents[2] / "bench" / "supervise.py"


@pytest.mark.slow
def test_supervise_bench_reports_detection_and_restart_times(tmp_path: Path) -> None:
    write_fleet(tmp_path)
    command = [sys.executable, str(BENCH), "--json", "--quick", "--rounds", "1"]
    ended = subprocess.run(
        [*command, "--fleet", str(tmp_path / "fleet.yaml")],
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:/bin"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert (result["argosy"], result["name"]) == ("bench/1", "supervise")
    # Of three agents every second one is asked from outside, the others are told of.
    values = result["values"]
    assert values["supervise.processes.noticed_p99"]["n"] == 2
    assert values["supervise.processes.answers_again"]["n"] == 1
    assert (
        0
        < values["supervise.processes.noticed"]["value"]
        < values["supervise.processes.ready_again"]["value"]
    )
    ratio = result["ratios"]["supervise.supervisord/processes"]
    assert (ratio["n"], ratio["better"], ratio["goal"]) == (1, "higher", 100.0)
    assert ratio["left"] > ratio["right"] > 0
    assert result["skipped"] == {
        "supervise.circus": "--quick",
        "supervise.pm2": "pm2 is not installed",
        "supervise.spawned": "--quick",
    }
