"""Fleets in containers, started by docker-compose: every agent is healthy and reachable from outside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from argosy.fleet import load_fleet
from rig import port
from rig.fleet import ARGOSY
from rig.needs import require

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples" / "mainpc-pc2"
NEEDED = ("dockerd", "docker-compose", "skopeo", "apt-get", "unshare", "ip")

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]


@pytest.fixture
def folder() -> Iterator[Path]:
    require(*NEEDED)
    if os.geteuid() != 0:
        pytest.skip("only root can have a container engine of its own")
    found = Path(tempfile.mkdtemp(prefix="argosy-t-", dir="/tmp"))  # short: socket paths are
    yield found
    shutil.rmtree(found)


def build(folder: Path) -> dict[str, Any]:
    """Build the images of `folder/tree`; return what was told of each."""
    command = [ARGOSY, "image", "build", "--gzip", "--fleet", str(folder / "tree"), "--json"]
    done = subprocess.run(command, env=variables(folder), capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip(done.stdout)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["images"]
    return found


def bring_up(folder: Path, *words: str) -> dict[str, Any]:
    """Bring the fleet of `folder/tree` up and down again; return what was found meanwhile."""
    space = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    program = [sys.executable, str(Path(__file__).with_name("compose_up.py")), str(folder), *words]
    done = subprocess.run(
        [*space, *program], env=variables(folder), capture_output=True, text=True, check=False
    )
    if "does not work here" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["loose"] == []
    assert found["removed"]
    assert set(found["codes"].values()) == {0}, found["codes"]
    return found


def variables(folder: Path) -> dict[str, str]:
    return {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": str(ROOT / "tests")}


def test_agents_are_healthy_in_group_containers(folder: Path) -> None:
    shutil.copytree(EXAMPLE, folder / "tree", ignore=shutil.ignore_patterns(".argosy", "__pycache__"))
    assert max(image["size"] for image in build(folder).values()) <= 70 * 10**6
    found = bring_up(folder)
    assert found["health"] == dict.fromkeys(load_fleet(EXAMPLE / "fleet.yaml").agents, "ok")


def test_agents_are_healthy_in_own_containers_and_killed_one_restarts(
    folder: Path,
) -> None:
    (folder / "tree").mkdir()
    files = {"fleet.yaml": port.FLEET.format(*range(7400, 7400 + port.PORTS)), **port.FILES}
    for name, text in files.items():
        (folder / "tree" / name).write_text(text)
    assert len(build(folder)) == 2
    found = bring_up(folder, "memory")
    assert found["services"] == len(port.SERVICES)
    assert found["health"] == dict.fromkeys(chain.from_iterable(port.SERVICES.values()), "ok")
    assert found["before"] == found["after"] == port.ANSWER
    assert found["restarts"] == {**dict.fromkeys(port.SERVICES, 0), "memory": 1}
