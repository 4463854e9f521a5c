"""A copy of the complete example fleet, on a loopback address of its own."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zmq

from argosy.fleet import load_fleet
from argosy.wire import connect
from argosy.wire.client.sync_peer import SyncPeer

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "mainpc-pc2"
ARGOSY = str(Path(sys.executable).with_name("argosy"))


class ExampleFleet:
    """One fleet file of the example, in a copy of its folder."""

    def __init__(self, folder: Path, file: str) -> None:
        self.fleet = folder / "fleet"
        self.file = self.fleet / file
        self.host = ".".join(["127", *(str(random.randint(1, 254)) for _ in range(3))])
        shutil.copytree(EXAMPLE, self.fleet, ignore=shutil.ignore_patterns("__pycache__"))
        self.file.write_text(self.file.read_text().replace("127.0.0.1", self.host))
        (folder / "run").mkdir(0o700)
        self.env = {
            **os.environ,
            "ENV_TYPE": "testing",
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_RUNTIME_DIR": str(folder / "run"),
        }
        self.up: dict[str, Any] = {}

    def argosy(self, verb: str, *words: str) -> tuple[int, dict[str, Any], str]:
        """Run one verb with --json; return exit code, object, stderr."""
        command = [ARGOSY, verb, str(self.file), *words, "--json"]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=150, check=False)
        return done.returncode, json.loads(done.stdout or "{}"), done.stderr

    def agents(self) -> dict[str, dict[str, Any]]:
        """Return what `status` tells of each agent."""
        agents: dict[str, dict[str, Any]] = self.argosy("status")[1]["agents"]
        return agents

    def ask(self, name: str) -> SyncPeer:
        """Return a peer of the running fleet, by its declared port."""
        return connect(f"tcp://{self.host}:{load_fleet(self.fleet / 'fleet.yaml').agents[name].port}")

    def health_of_agents(self) -> dict[str, str]:
        """Return the status that each agent, under its own name, tells an old speaker on its port."""
        found = {}
        with zmq.Context() as context:
            for name, agent in load_fleet(self.file).agents.items():
                with context.socket(zmq.REQ) as old:
                    old.linger, old.rcvtimeo = 0, 5000
                    old.connect(f"tcp://{self.host}:{agent.port}")
                    old.send_json({"action": "health"})
                    answer: Any = old.recv_json()
                    if answer["name"] == name:
                        found[name] = answer["status"]
        return found


@contextlib.contextmanager
def running_example_fleet(file: str = "fleet.yaml") -> Iterator[ExampleFleet]:
    """Yield the fleet with all agents ready; afterwards all end when told to, and no process is left."""
    folder = Path(tempfile.mkdtemp(prefix="ag-"))
    made = ExampleFleet(folder, file)
    try:
        code, made.up, err = made.argosy("up", "-d")
        assert code == 0, (made.up.get("not_ready"), err)
        yield made
        pids = [agent["pid"] for agent in made.agents().values()]
        code, down, err = made.argosy("down")
        assert (code, len(down["stopped"])) == (0, 84), err
        assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    finally:
        made.argosy("down")
        shutil.rmtree(folder)
