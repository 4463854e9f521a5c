"""The example fleet as containers of its groups: all 84 agents healthy, asked from outside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from argosy.fleet import load_fleet
from rig.fleet import ARGOSY

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "mainpc-pc2"
NEEDED = ("dockerd", "docker-compose", "skopeo", "apt-get", "unshare", "ip")


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_all_agents_are_healthy_in_containers_of_their_groups() -> None:
    lacking = [name for name in NEEDED if shutil.which(name) is None]
    if lacking or os.geteuid() != 0:
        pytest.skip(f"needs root and {', '.join(lacking) or 'nothing else'}")
    folder = Path(tempfile.mkdtemp(prefix="argosy-t-", dir="/tmp"))  # short: socket paths are
    try:
        shutil.copytree(EXAMPLE, folder / "tree", ignore=shutil.ignore_patterns(".argosy", "__pycache__"))
        env = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": str(ROOT / "tests")}
        build = [ARGOSY, "image", "build", "--gzip", "--fleet", str(folder / "tree"), "--json"]
        built = subprocess.run(build, env=env, capture_output=True, text=True, check=False)
        if built.returncode == 3:
            pytest.skip(built.stdout)
        assert built.returncode == 0, built.stderr
        sizes = [image["size"] for image in json.loads(built.stdout)["images"].values()]
        assert max(sizes) <= 70 * 10**6
        space = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
        program = [sys.executable, str(Path(__file__).with_name("composed.py")), str(folder)]
        done = subprocess.run([*space, *program], env=env, capture_output=True, text=True, check=False)
        if "does not work here" in done.stderr:
            pytest.skip(done.stderr.strip())
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["health"] == dict.fromkeys(load_fleet(EXAMPLE / "fleet.yaml").agents, "ok")
        assert found["loose"] == []
        assert found["removed"]
    finally:
        shutil.rmtree(folder)
