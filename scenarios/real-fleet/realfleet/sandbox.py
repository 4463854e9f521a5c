"""Runs a fleet in its own network, mount and process namespaces.

Only loopback is reachable inside, and the tree is seen through an overlay, so the agents' writes go to the
run's folder. When the first process inside exits for any reason, the kernel kills all others.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from realfleet.environments import HERE
from realfleet.progress import ScenarioError

# When this program is killed, `setpriv` ends `unshare` and with it the sandbox.
_SANDBOX_COMMAND: Final = (
    "setpriv",
    "--pdeathsig",
    "KILL",
    "unshare",
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--mount-proc",
    "--kill-child",
)
_STOP_S: Final = 60.0
_running: set[subprocess.Popen[bytes]] = set()
_is_over = threading.Event()
_PROGRAMS: Final = {
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "ip": "iproute2",
    "mount": "mount",
    "redis-server": "redis-server",
}


def require_sandbox() -> None:
    """Check that sandboxes work. Raises ScenarioError: no namespaces for this user, or a missing program."""
    for program, package in _PROGRAMS.items():
        if not shutil.which(program):
            raise ScenarioError(f"there is no `{program}` here", f"apt-get install {package}")
    done = subprocess.run([*_SANDBOX_COMMAND, "true"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ScenarioError(
            f"no namespaces for this user: {done.stderr.strip()}",
            "run it as root, or in a privileged container",
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let the sandbox stop its fleet in order, and kill it if that takes too long."""
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
        for child in children.split():
            os.kill(int(child), signal.SIGTERM)
        process.wait(_STOP_S)
    except (OSError, subprocess.TimeoutExpired):
        process.kill()
        process.wait()


def stop_sandboxes() -> None:
    """Stop all sandboxes and start no more; callers that wait for one get a ScenarioError."""
    _is_over.set()
    for process in tuple(_running):
        _end(process)


def run_in_sandbox(job: Mapping[str, Any], folder: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """Run `realfleet.sandbox_main` with a job in a sandbox and return its result.

    Raises ScenarioError: it ended without a result.
    """
    order, answer = folder / "job.json", folder / "answer.json"
    order.write_text(json.dumps({**job, "answer": str(answer)}), encoding="utf-8")
    command = [*_SANDBOX_COMMAND, sys.executable, "-m", "realfleet.sandbox_main", str(order)]
    variables = {
        **environment,
        "PYTHONPATH": str(HERE),
        "REAL_FLEET_BEGAN": os.environ.get("REAL_FLEET_BEGAN", ""),
    }
    if _is_over.is_set():
        raise ScenarioError("the scenario is being stopped")
    process = subprocess.Popen(command, env=variables, stdin=subprocess.DEVNULL)
    _running.add(process)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        _end(process)
        raise
    finally:
        _running.discard(process)
    if not answer.exists():
        raise ScenarioError(f"the sandbox ended with {code} and without a result")
    told: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in told:
        raise ScenarioError(told["error"])
    return told
