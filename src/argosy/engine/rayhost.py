"""What stands on a node of a Ray cluster: it sees to the node's supervisor, and tells it of the other nodes.

What a Ray actor starts ends with its raylet, so the supervisor is no child of the actor: it is let go of by
a process between them that ends at once. The actor attaches to one that is there already. Ray's word that
a node is dead counts only where the link says blind too: a raylet may die while its machine runs on.
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

from argosy.engine.client import connect
from argosy.engine.folder import folder_of
from argosy.engine.messages import Condemn
from argosy.fault import ArgosyError
from argosy.wire.keys import keys_folder

if TYPE_CHECKING:
    from collections.abc import Collection

_LOOK_EVERY_S: Final = 1.0
_SERVES_WITHIN_S: Final = 20.0
# Starts its arguments in a session of their own and ends: they belong to the node's first process then.
_LET_GO: Final = (
    "import json, os, subprocess, sys\n"
    "words, log = json.loads(sys.argv[1]), open(sys.argv[2], 'ab')\n"
    "nothing = subprocess.DEVNULL\n"
    "child = subprocess.Popen(words, stdin=nothing, stdout=log, stderr=log, start_new_session=True)\n"
    "child.returncode = 0\n"
)


class Host:
    """The actor of one node.

    machine: the one of the fleet that this node is.
    """

    def __init__(self, fleet_path: str, fleet: str, machine: str) -> None:
        self._path = Path(fleet_path)
        self._fleet = fleet
        self._machine = machine
        self._nodes: dict[str, str] = {}
        self._watching: threading.Thread | None = None

    def serve(
        self, environment: str, keys: dict[str, bytes], gpus: int, nodes: dict[str, str]
    ) -> dict[str, Any]:
        """Have the node's supervisor run, and return its `pid`, and whether it was `started`.

        keys: what this machine needs, by file name; written where it has no keys yet. gpus: how many Ray
        counts on this node. nodes: machine to the id of its node, in place of what was said before.
        Raises RuntimeError: it does not serve.
        """
        self.meet(nodes)
        self._lay_down(keys)
        client = connect(folder_of(self._path), "ray")
        is_started = client is None
        if client is None:
            self._start(environment, gpus)
            end = time.monotonic() + _SERVES_WITHIN_S
            while (client := connect(folder_of(self._path), "ray")) is None:
                if time.monotonic() > end:
                    raise RuntimeError(f"no supervisor serves on `{self._machine}`: {self._last_words()}")
                time.sleep(0.05)
        with client:
            pid = client.welcome.pid
        if self._watching is None or not self._watching.is_alive():
            self._watching = threading.Thread(target=self._watch, daemon=True)
            self._watching.start()
        return {"pid": pid, "started": is_started}

    def meet(self, nodes: dict[str, str]) -> None:
        """Know these nodes by machine, and no others: the actor stays where a node was replaced."""
        self._nodes = dict(nodes)

    def gone(self, alive: Collection[str]) -> set[str]:
        """Return the other machines whose nodes are not among these."""
        left = {machine for machine, node in self._nodes.items() if node not in alive}
        return left - {self._machine}

    def _lay_down(self, keys: dict[str, bytes]) -> None:
        folder = Path(keys_folder(self._fleet))
        if folder.is_dir() or not keys:
            return
        folder.mkdir(parents=True, mode=0o700)
        for name, content in keys.items():
            descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as file:
                file.write(content)

    @property
    def _log(self) -> Path:
        return folder_of(self._path).supervisor_log

    def _start(self, environment: str, gpus: int) -> None:
        words = [sys.executable, "-m", "argosy", "serve", str(self._path)]
        words += ["--machine", self._machine, "--env", environment]
        folder_of(self._path).make()
        env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        env.pop("CUDA_VISIBLE_DEVICES", None)  # Ray hides all of them from who asked for none
        if (devices := visible_devices(gpus, _raylet_devices())) is not None:
            env["CUDA_VISIBLE_DEVICES"] = devices
        subprocess.run(
            [sys.executable, "-c", _LET_GO, json.dumps(words), str(self._log)], env=env, cwd="/", check=True
        )

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return lines[-1] if lines else "it said nothing"

    def _watch(self) -> None:
        """Tell the supervisor here of machines whose node has left the cluster.

        Again and again: it takes no word against a machine that is linked, and may be a new one.
        """
        ray = import_module("ray")  # it is there, in the actor alone
        while True:
            for machine in self.gone({node["NodeID"] for node in ray.nodes() if node["Alive"]}):
                self._tell(machine)
            time.sleep(_LOOK_EVERY_S)

    def _tell(self, machine: str) -> None:
        with contextlib.suppress(ArgosyError):  # it is told at the next look
            if client := connect(folder_of(self._path), "ray"):
                with client:
                    client.send(Condemn(machine=machine, reason="its node has left the Ray cluster"))


def visible_devices(gpus: int, own: str | None) -> str | None:
    """Return the CUDA_VISIBLE_DEVICES of a node's agents; None: all devices are theirs.

    gpus: how many Ray counts on the node. own: the variable of its raylet, whose devices Ray gives in this
    order; without it they are the first ones.
    """
    if not gpus:
        return own
    devices = own.split(",") if own else map(str, range(gpus))
    return ",".join(list(devices)[:gpus])


def _raylet_devices() -> str | None:
    """Return the variable as the raylet handed it down; in this process Ray has changed it since."""
    given = Path("/proc/self/environ").read_bytes().split(b"\0")
    name = b"CUDA_VISIBLE_DEVICES="
    return next((entry[len(name) :].decode() for entry in given if entry.startswith(name)), None)
