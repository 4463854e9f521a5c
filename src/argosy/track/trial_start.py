"""Starts a fleet in isolation to measure it, and stops it again.

The fleet has its own state directory and, if the system allows it, a network namespace with only loopback, so
that its ports are free and it cannot reach anything.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from argosy.engine.admission.memory_sampler import read_process_memory
from argosy.track.command_runner import MeasurementError

_REAPER_THREAD = "ZMQbg/Reaper"  # libzmq has one such thread in each context (src/ctx.cpp)
_UP_TIMEOUT_S = 300.0
_LOOPBACK_UP_CODE = """
import fcntl, os, socket, struct, sys
with socket.socket() as probe:
    fcntl.ioctl(probe, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))
os.execvp(sys.argv[1], sys.argv[1:])
"""


def measure_fleet(fleet: str, variables: Mapping[str, str], timeout_s: float) -> dict[str, float]:
    """Start a fleet file in the testing environment, and return its values by the name of the measure.

    Raises MeasurementError: the fleet cannot be started.
    """
    place = tempfile.mkdtemp(prefix="argosy-track-", dir="/tmp")
    runtime = os.path.join(place, "r")
    os.mkdir(runtime, 0o700)
    env = {
        "ENV_TYPE": "testing",
        **variables,
        "XDG_STATE_HOME": os.path.join(place, "state"),
        "XDG_RUNTIME_DIR": runtime,
        "ARGOSY_HUB": "off",
    }
    try:
        return _measure_started(fleet, env, timeout_s)
    finally:
        try:
            _run_argosy(["down", fleet], env, 120.0, is_isolated=False)
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _measure_started(fleet: str, env: Mapping[str, str], timeout_s: float) -> dict[str, float]:
    wait_s = min(timeout_s, _UP_TIMEOUT_S)
    up = _run_argosy(
        ["up", fleet, "-d", "--no-hub", "--timeout", f"{wait_s:g}"], env, wait_s + 30, is_isolated=True
    )
    status = _run_argosy(["status", fleet], env, 60.0, is_isolated=False)
    pids = {row["pid"] for row in status["agents"].values() if row.get("pid")}
    found = {"fleet.contexts": 0.0, "fleet.threads": 0.0, "fleet.pss": 0.0}
    for pid in pids:
        names = _thread_names(pid)
        memory = read_process_memory(pid)
        found["fleet.threads"] += len(names)
        found["fleet.contexts"] += sum(name.startswith(_REAPER_THREAD) for name in names)
        found["fleet.pss"] += memory.pss_bytes if memory is not None else 0
    return {
        **found,
        "fleet.declared": float(up["declared"]),
        "fleet.ready": float(len(up["ready"])),
        "start.seconds": float(up["seconds"]),
    }


def _thread_names(pid: int) -> list[str]:
    try:
        return [path.read_text().strip() for path in Path(f"/proc/{pid}/task").glob("*/comm")]
    except OSError:
        return []


def _run_argosy(
    arguments: list[str], env: Mapping[str, str], timeout_s: float, *, is_isolated: bool
) -> dict[str, Any]:
    command = [sys.executable, "-m", "argosy", *arguments, "--json"]
    if is_isolated:
        command = [*_isolated_network_command(), *command]
    try:
        done = subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        raise MeasurementError(f"`argosy {arguments[0]}` timed out after {timeout_s:g} s") from None
    try:
        document: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        error_tail = done.stderr.decode("utf-8", "replace").strip()[-300:]
        raise MeasurementError(
            f"`argosy {arguments[0]}` failed with exit code {done.returncode}: {error_tail}"
        ) from None
    if "errors" in document and document.get("argosy") == "error/1":
        first = document["errors"][0]
        raise MeasurementError(f"{first['where']}: {first['message']}")
    return document


@cache
def _isolated_network_command() -> tuple[str, ...]:
    """Return a command prefix that isolates the network; empty if that is not allowed."""
    if shutil.which("unshare") is None:
        return ()
    candidates = (
        [("unshare", "--net")]
        if os.geteuid() == 0
        else [("unshare", "--user", "--map-current-user", "--net")]
    )
    for candidate in candidates:
        command = (*candidate, "--", sys.executable, "-c", _LOOPBACK_UP_CODE)
        if subprocess.run([*command, "true"], capture_output=True, stdin=subprocess.DEVNULL).returncode == 0:
            return command
    return ()
