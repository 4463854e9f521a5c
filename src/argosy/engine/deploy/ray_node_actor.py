"""The actor on a node of a Ray cluster: starts the node's supervisor, and reports lost nodes to it.

Child processes of a Ray actor end with its raylet, so the supervisor is not a child of the actor: it is
detached by an intermediate process. The actor uses a supervisor that runs already. A node that Ray reports
dead counts as failed only if its machine is not connected either: a raylet may die while its machine runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from argosy.engine.control.control_client import connect
from argosy.engine.protocol.messages import MarkMachineFailed
from argosy.engine.state.state_dir import locate_state_dir
from argosy.fault import ArgosyError
from argosy.wire.security.curve_keys import default_keys_dir

if TYPE_CHECKING:
    from collections.abc import Collection

_POLL_INTERVAL_S: Final = 1.0
_START_TIMEOUT_S: Final = 20.0
# Starts a command in a new session and exits: the command is then reparented to the node's init process.
_DETACH_SCRIPT: Final = (
    "import json, os, subprocess, sys\n"
    "command, log = json.loads(sys.argv[1]), open(sys.argv[2], 'ab')\n"
    "null = subprocess.DEVNULL\n"
    "child = subprocess.Popen(command, stdin=null, stdout=log, stderr=log, start_new_session=True)\n"
    "child.returncode = 0\n"
)


class RayNodeActor:
    """The actor of one node.

    machine: the machine of the fleet that this node is.
    """

    def __init__(self, fleet_path: str, fleet: str, machine: str) -> None:
        self._path = Path(fleet_path)
        self._fleet = fleet
        self._machine = machine
        self._nodes: dict[str, str] = {}
        self._watch_thread: threading.Thread | None = None

    def ensure_supervisor(
        self, environment: str, keys: dict[str, bytes], gpus: int, nodes: dict[str, str]
    ) -> dict[str, Any]:
        """Ensure that the node's supervisor runs; return its `pid`, and whether it was `started`.

        keys: the keys of this machine, by file name; written if it has none yet. gpus: the number that Ray
        counts on this node. nodes: machine to the id of its node, replacing earlier ones.
        Raises RuntimeError: the supervisor does not start.
        """
        self.update_nodes(nodes)
        self._write_keys(keys)
        client = connect(locate_state_dir(self._path), "ray")
        is_started = client is None
        if client is None:
            self._start_supervisor(environment, gpus)
            end = time.monotonic() + _START_TIMEOUT_S
            while (client := connect(locate_state_dir(self._path), "ray")) is None:
                if time.monotonic() > end:
                    raise RuntimeError(f"no supervisor runs on `{self._machine}`: {self._last_log_line()}")
                time.sleep(0.05)
        with client:
            pid = client.welcome.pid
        if self._watch_thread is None or not self._watch_thread.is_alive():
            self._watch_thread = threading.Thread(target=self._watch_nodes, daemon=True)
            self._watch_thread.start()
        return {"pid": pid, "started": is_started}

    def update_nodes(self, nodes: dict[str, str]) -> None:
        """Replace the known nodes, by machine; the actor survives when another node is replaced."""
        self._nodes = dict(nodes)

    def lost_machines(self, alive_nodes: Collection[str]) -> set[str]:
        """Return the other machines whose nodes are not among `alive_nodes`."""
        lost = {machine for machine, node in self._nodes.items() if node not in alive_nodes}
        return lost - {self._machine}

    def _write_keys(self, keys: dict[str, bytes]) -> None:
        keys_dir = Path(default_keys_dir(self._fleet))
        if keys_dir.is_dir() or not keys:
            return
        keys_dir.mkdir(parents=True, mode=0o700)
        for name, content in keys.items():
            descriptor = os.open(keys_dir / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as file:
                file.write(content)

    @property
    def _supervisor_log(self) -> Path:
        return locate_state_dir(self._path).supervisor_log

    def _start_supervisor(self, environment: str, gpus: int) -> None:
        command = [sys.executable, "-m", "argosy", "serve", str(self._path)]
        command += ["--machine", self._machine, "--env", environment]
        locate_state_dir(self._path).create()
        env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        env.pop("CUDA_VISIBLE_DEVICES", None)  # Ray hides all devices from an actor without GPUs
        if (devices := visible_devices(gpus, _read_raylet_devices())) is not None:
            env["CUDA_VISIBLE_DEVICES"] = devices
        subprocess.run(
            [sys.executable, "-c", _DETACH_SCRIPT, json.dumps(command), str(self._supervisor_log)],
            env=env,
            cwd="/",
            check=True,
        )

    def _last_log_line(self) -> str:
        lines = (
            self._supervisor_log.read_text(errors="replace").splitlines()
            if self._supervisor_log.exists()
            else []
        )
        return lines[-1] if lines else "its log is empty"

    def _watch_nodes(self) -> None:
        """Report machines whose node has left the cluster to the supervisor of this node.

        Repeated: the supervisor ignores it for a connected machine, and may have been restarted.
        """
        ray = import_module("ray")  # available in the actor only
        while True:
            for machine in self.lost_machines({node["NodeID"] for node in ray.nodes() if node["Alive"]}):
                self._report_lost_machine(machine)
            time.sleep(_POLL_INTERVAL_S)

    def _report_lost_machine(self, machine: str) -> None:
        with contextlib.suppress(ArgosyError):  # reported again at the next poll
            if client := connect(locate_state_dir(self._path), "ray"):
                with client:
                    client.send(
                        MarkMachineFailed(machine=machine, reason="its node has left the Ray cluster")
                    )


def visible_devices(gpus: int, raylet_devices: str | None) -> str | None:
    """Return the CUDA_VISIBLE_DEVICES of a node's agents; None for all devices.

    gpus: the number that Ray counts on the node. raylet_devices: the variable of its raylet; Ray assigns
    its devices in this order, without it the first ones.
    """
    if not gpus:
        return raylet_devices
    devices = raylet_devices.split(",") if raylet_devices else map(str, range(gpus))
    return ",".join(list(devices)[:gpus])


def _read_raylet_devices() -> str | None:
    """Return CUDA_VISIBLE_DEVICES as inherited from the raylet; Ray has changed it in this process."""
    environ = Path("/proc/self/environ").read_bytes().split(b"\0")
    name = b"CUDA_VISIBLE_DEVICES="
    return next((entry[len(name) :].decode() for entry in environ if entry.startswith(name)), None)
