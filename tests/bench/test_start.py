"""Start bench on a fleet of three agents, run as a program: its JSON, its errors and its cleanup."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench" / "start.py"
AGENTS = """
from argosy.agent import Agent


class Plain(Agent):
    async def start(self):
        {body}
"""
SLEEPER = "import asyncio, pathlib; pathlib.Path({path!r}).touch(); await asyncio.sleep(60)"
WATCH = """
import os, sys, time
deadline = time.monotonic() + 25
while not os.path.exists(sys.argv[1]):
    if time.monotonic() > deadline:
        sys.exit(1)
    time.sleep(0.01)
"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def write_fleet(folder: Path, body: str = "pass") -> list[int]:
    """Write a fleet of three in a row, and the same in two cells; return its ports."""
    ports = free_ports(3)
    rows = [
        f"  A{number}: {{run: 'agents:Plain', port: {port}, needs: [{f'A{number - 1}' if number else ''}]}}"
        for number, port in enumerate(ports)
    ]
    text = "fleet: three\nagents:\n" + "\n".join(rows) + "\n"
    (folder / "fleet.yaml").write_text(text)
    (folder / "cells.yaml").write_text(
        text.replace("{run", "{cell: one, run", 2).replace("{run", "{cell: two, run")
    )
    (folder / "agents.py").write_text(AGENTS.format(body=body))
    return ports


def command(folder: Path, *options: str) -> list[str]:
    return [sys.executable, str(BENCH), "--json", "--fleet", str(folder / "fleet.yaml"), *options]


def processes_of(folder: Path) -> list[int]:
    """Return the processes whose working folder is the fleet's: its agents."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.readlink(entry / "cwd") == str(folder):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def stages() -> set[Path]:
    return set(Path("/tmp").glob("ab-*"))


@pytest.mark.slow
def test_start_bench_prints_ratios_and_leaves_no_process(tmp_path):
    write_fleet(tmp_path)
    ended = subprocess.run(command(tmp_path, "--quick"), capture_output=True, text=True, timeout=50)

    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert next(iter(result)) == "argosy"
    assert (result["argosy"], result["name"]) == ("bench/1", "start")
    assert result["machine"]["cores"] >= 1
    barrier = result["ratios"]["start.processes/level_barrier"]
    assert barrier["n"] == 2
    assert 0 < barrier["min"] <= barrier["median"] <= barrier["max"]
    # The barrier runs its own process and three agents; argosy a supervisor, a forker and a zygote too.
    assert result["values"]["start.level_barrier.processes"]["value"] == 4
    assert result["values"]["start.processes.processes"]["value"] == 6
    # One agent is there already, and what it took is not counted.
    warm = result["ratios"]["start.processes_warm_cpu/level_barrier_cpu"]
    assert 0 < warm["left"] < result["values"]["start.processes.processor"]["value"]
    # The three agents in two processes, which have a context each; the barrier's have one each.
    assert result["values"]["start.cells.processes"]["value"] == 5
    assert result["values"]["start.cells.contexts"]["value"] == 2
    assert result["values"]["start.level_barrier.contexts"]["value"] == 3
    assert result["values"]["start.cells.threads"]["goal"] == 20
    cells = result["ratios"]["start.cells/level_barrier"]
    assert (cells["left"], cells["goal"]) == (result["values"]["start.cells.wall"]["value"], 0.04)
    assert result["ratios"]["start.cells_pss/level_barrier_pss"]["n"] == 2
    assert result["values"]["start.own_ms_per_start"]["value"] > 0
    assert set(result["skipped"].values()) == {"--quick", "--fleet"}
    assert processes_of(tmp_path) == []


def test_start_bench_names_holder_of_taken_port(tmp_path):
    ports = write_fleet(tmp_path)
    with socket.create_server(("127.0.0.1", ports[1])):
        ended = subprocess.run(command(tmp_path, "--quick"), capture_output=True, text=True, timeout=50)

    assert ended.returncode == 3
    fault = json.loads(ended.stdout)["errors"][0]
    assert f"port {ports[1]} held by pid {os.getpid()}" in fault["message"]
    assert "argosy down" in fault["hint"]


def test_start_bench_names_failed_agent(tmp_path):
    write_fleet(tmp_path, body="raise SystemExit(7)")
    ended = subprocess.run(command(tmp_path, "--quick"), capture_output=True, text=True, timeout=50)

    assert ended.returncode != 0
    assert "A0" in json.loads(ended.stdout)["errors"][0]["message"]
    assert processes_of(tmp_path) == []


def test_interrupted_start_bench_leaves_no_process_or_files(tmp_path):
    started = tmp_path / "started"
    write_fleet(tmp_path, body=SLEEPER.format(path=str(started)))
    before = stages()
    # Whoever runs the tests in the background ignores SIGINT, and that is inherited.
    command_with_sigint = ["env", "--default-signal=INT", *command(tmp_path, "--quick")]
    bench = subprocess.Popen(command_with_sigint, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    # Returns in the instant the first agent is on its way.
    subprocess.run([sys.executable, "-c", WATCH, str(started)], timeout=30, check=True)
    bench.send_signal(signal.SIGINT)
    out, _ = bench.communicate(timeout=30)

    assert bench.returncode == 130
    assert out == b""
    assert processes_of(tmp_path) == []
    assert stages() <= before
