"""One start of a fleet, to measure it: brought up apart from any that runs, looked at, and stopped.

It has its own state folder and, where the system lets us, a network of its own with nothing but loopback, so
that its ports are free and nothing that it says reaches anybody.
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

from argosy.engine.memory import read_memory
from argosy.track.command import TroubleError

_REAPER = "ZMQbg/Reaper"  # libzmq names one such thread in each context (src/ctx.cpp)
_UP_WITHIN_S = 300.0
_LOOPBACK_UP = """
import fcntl, os, socket, struct, sys
with socket.socket() as probe:
    fcntl.ioctl(probe, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))
os.execvp(sys.argv[1], sys.argv[1:])
"""


def measure_fleet(fleet: str, variables: Mapping[str, str], timeout_s: float) -> dict[str, float]:
    """Start the fleet of a file in its testing environment, and return what it comes to, by built-in name.

    Raises TroubleError: it cannot be started at all.
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
        return _started(fleet, env, timeout_s)
    finally:
        try:
            _argosy(["down", fleet], env, 120.0, apart=False)
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _started(fleet: str, env: Mapping[str, str], timeout_s: float) -> dict[str, float]:
    wait_s = min(timeout_s, _UP_WITHIN_S)
    up = _argosy(["up", fleet, "-d", "--no-hub", "--timeout", f"{wait_s:g}"], env, wait_s + 30, apart=True)
    status = _argosy(["status", fleet], env, 60.0, apart=False)
    pids = {row["pid"] for row in status["agents"].values() if row.get("pid")}
    found = {"fleet.contexts": 0.0, "fleet.threads": 0.0, "fleet.pss": 0.0}
    for pid in pids:
        names = _thread_names(pid)
        memory = read_memory(pid)
        found["fleet.threads"] += len(names)
        found["fleet.contexts"] += sum(name.startswith(_REAPER) for name in names)
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


def _argosy(words: list[str], env: Mapping[str, str], timeout_s: float, *, apart: bool) -> dict[str, Any]:
    command = [sys.executable, "-m", "argosy", *words, "--json"]
    if apart:
        command = [*_own_network(), *command]
    try:
        done = subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        raise TroubleError(f"`argosy {words[0]}` was not done after {timeout_s:g} s") from None
    try:
        told: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        said = done.stderr.decode("utf-8", "replace").strip()[-300:]
        raise TroubleError(f"`argosy {words[0]}` ended with {done.returncode}: {said}") from None
    if "errors" in told and told.get("argosy") == "error/1":
        first = told["errors"][0]
        raise TroubleError(f"{first['where']}: {first['message']}")
    return told


@cache
def _own_network() -> tuple[str, ...]:
    """Return the words that run a command in a network of its own; none where that is not allowed."""
    if shutil.which("unshare") is None:
        return ()
    ways = (
        [("unshare", "--net")]
        if os.geteuid() == 0
        else [("unshare", "--user", "--map-current-user", "--net")]
    )
    for way in ways:
        words = (*way, "--", sys.executable, "-c", _LOOPBACK_UP)
        if subprocess.run([*words, "true"], capture_output=True, stdin=subprocess.DEVNULL).returncode == 0:
            return words
    return ()
