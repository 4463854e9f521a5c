"""A fleet on a Ray cluster of two nodes; skipped where Ray is not installed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from argosy.engine.deploy.ray_cluster import match_nodes
from argosy.engine.deploy.ray_node_actor import RayNodeActor, visible_devices
from argosy.fault import RefusedError
from rig.duo import until
from rig.fleet import ARGOSY, SPEAKER

FLEET = """
fleet: rayed
machines: {one: {}, two: {}}
environments:
  development: {one: 127.0.0.2, two: 127.0.0.3}
hub: {port: 9770}
defaults: {run: speaker.py, ready: {probe: notify}}
agents:
  A: {machine: one}
  B: {machine: two, needs: [A]}
  C: {machine: one, needs: [B]}
"""
ADDRESSES = {"one": "10.0.0.1", "two": "10.0.0.2"}


def node(
    number: int, resources: Mapping[str, float] = {}, *, alive: bool = True, **labels: str
) -> dict[str, Any]:
    return {
        "NodeID": f"n{number}",
        "Alive": alive,
        "NodeManagerAddress": f"10.0.0.{number}",
        "Resources": {"CPU": 1.0, **resources},
        "Labels": {name.replace("_", "-"): value for name, value in labels.items()},
    }


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([node(1), node(2)], {"one": "n1", "two": "n2"}),
        ([node(1, {"argosy-two": 1.0}), node(2, {"argosy-one": 1.0})], {"one": "n2", "two": "n1"}),
        ([node(1, argosy_machine="two"), node(2, argosy_machine="one")], {"one": "n2", "two": "n1"}),
        ([node(1), node(2, alive=False), node(3, {"argosy-two": 1.0})], {"one": "n1", "two": "n3"}),
    ],
)
def test_machines_are_matched_to_ray_nodes(nodes: list[dict[str, Any]], expected: dict[str, str]) -> None:
    found = match_nodes(ADDRESSES, nodes)
    assert {machine: each["NodeID"] for machine, each in found.items()} == expected


def test_node_match_names_machine_without_node() -> None:
    with pytest.raises(RefusedError, match="machine `two`"):
        match_nodes(ADDRESSES, [node(1), node(2, alive=False)])


@pytest.mark.parametrize(
    ("gpus", "raylet", "agents"),
    [
        (2, "2,3", "2,3"),
        (1, "2,3", "2"),
        (2, None, "0,1"),
        (2, "", "0,1"),
        (1, "GPU-5ac0,GPU-77b1", "GPU-5ac0"),
        (0, "2,3", "2,3"),
        (0, None, None),
    ],
)
def test_agents_see_gpu_devices_of_their_raylet(gpus: int, raylet: str | None, agents: str | None) -> None:
    assert visible_devices(gpus, raylet) == agents


def test_ray_actor_reports_machines_lost_since_last_start() -> None:
    host = RayNodeActor("/fleet.yaml", "rayed", "one")
    host.update_nodes({"one": "n1", "two": "n2"})
    assert host.lost_machines(["n1", "n2"]) == set()
    assert host.lost_machines(["n1", "n3"]) == {"two"}
    host.update_nodes({"one": "n1", "two": "n3"})  # its node was replaced
    assert host.lost_machines(["n1", "n3"]) == set()
    assert host.lost_machines(["n1", "n2"]) == {"two"}
    assert host.lost_machines(["n3"]) == set()  # it is alive that asks


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_up_with_ray_engine_names_missing_package(tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text(FLEET)
    words = [ARGOSY, "up", "--engine", "ray", "--machine", "one", "--fleet", str(tmp_path / "fleet.yaml")]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env=dict(os.environ, ENV_TYPE="")
    )
    assert done.returncode == 3
    assert "argosy[cluster]" in done.stderr


class RayCluster:
    """A cluster of two nodes on this host, and a fleet for it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.fleet = root / "fleet.yaml"
        self.fleet.write_text(FLEET)
        (root / "speaker.py").write_text(SPEAKER)
        cluster_utils = import_module("ray.cluster_utils")
        self.cluster = cluster_utils.Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 1,
                "resources": {"argosy-one": 1},
                "env_vars": self.own("one"),
                "temp_dir": str(root / "ray"),
            },
        )
        self.second = self.cluster.add_node(num_cpus=1, resources={"argosy-two": 1}, env_vars=self.own("two"))

    def own(self, machine: str) -> dict[str, str]:
        folder = self.root / machine
        for kind in ("state", "run"):
            (folder / kind).mkdir(parents=True, exist_ok=True, mode=0o700)
        return {
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "ARGOSY_KEYS": str(folder / "keys"),
        }

    def argosy(self, machine: str, *words: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, **self.own(machine), "ENV_TYPE": "development"}
        env |= {"RAY_ADDRESS": self.cluster.address, "ARGOSY_MACHINE": machine}
        return subprocess.run(
            [ARGOSY, *words, "--fleet", str(self.fleet)], env=env, capture_output=True, text=True, check=False
        )

    def json(self, machine: str, *words: str) -> dict[str, Any]:
        done = self.argosy(machine, *words, "--json")
        assert done.stdout, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def close(self) -> None:
        for machine in ("one", "two"):
            self.argosy(machine, "down")
            supervisor = self.json(machine, "status")["supervisor"]
            if supervisor:
                os.kill(supervisor["pid"], signal.SIGTERM)
        self.cluster.shutdown()
        shutil.rmtree(self.root, ignore_errors=True)


@pytest.fixture
def rayed(monkeypatch: pytest.MonkeyPatch) -> Iterator[RayCluster]:
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed (`pip install 'argosy[cluster]'`)")
    root = Path(tempfile.mkdtemp(prefix="argosy-r-", dir="/tmp"))
    monkeypatch.setenv("RAY_TMPDIR", str(root))  # its note of the cluster goes there too, into `ray`
    (root / "ray").mkdir()
    made = RayCluster(root)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")
def test_ray_node_death_marks_machine_failed_and_blocks_dependents(rayed: RayCluster) -> None:
    rayed.argosy("one", "keys", "make")
    account = rayed.json("one", "up", "-d", "--no-hub", "--engine", "ray")
    assert account["ready"] == ["A", "B", "C"], account
    second = rayed.json("two", "status")
    running = second["agents"]["B"]["pid"]

    # The raylet goes, and with it all that its actors have started; the supervisor is not of that.
    rayed.cluster.remove_node(rayed.second, allow_graceful=False)
    assert rayed.json("two", "status")["supervisor"] == second["supervisor"]
    assert rayed.json("one", "status")["machines"]["two"]["state"] == "linked"

    for pid in (second["supervisor"]["pid"], running):  # now the node is dead for good
        os.kill(pid, signal.SIGKILL)
    until(lambda: rayed.json("one", "status")["agents"]["B"]["state"] == "exited", 60)
    status = rayed.json("one", "status")
    assert status["machines"]["two"]["state"] == "blind"
    assert "left the Ray cluster" in status["agents"]["B"]["reason"]
    os.kill(status["agents"]["C"]["pid"], signal.SIGKILL)  # who has to start again cannot
    until(lambda: rayed.json("one", "status")["agents"]["C"]["state"] == "blocked", 30)
    assert "needs `B`" in rayed.json("one", "status")["agents"]["C"]["reason"]
