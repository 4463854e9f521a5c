"""Image builder: real images from Debian packages and wheels, built, checked and run."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from argosy.image.build.smoke_test import children_of
from argosy.image.content.blob_store import decompress
from rig.fleet import ARGOSY
from rig.needs import require

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

FILES = {
    "fleet.yaml": """
fleet: yard
agents:
  Light: {run: "light:Light", group: light, port: 7300}
  Reader: {run: reader.py, group: light, port: 7301, ready: {probe: tcp}, needs: [Light]}
  Heavy: {run: "heavy:Heavy", group: heavy, port: 7302}
  Broken: {run: "broken:Broken", group: broken, port: 7303}
""",
    "light.py": "from argosy.agent import Agent\nclass Light(Agent): ...\n",
    "reader.py": (
        "import os, socket, yaml\n"
        "assert yaml.safe_load(open(os.path.join(os.path.dirname(__file__), 'words.yaml'))) == ['a']\n"
        "if __name__ == '__main__':\n"
        "    server = socket.create_server(('', int(os.environ['ARGOSY_PORT'])))\n"
        "    while True:\n        server.accept()[0].close()\n"
    ),
    "words.yaml": "[a]\n",
    "unused.py": "",
    "heavy.py": "import numpy\nfrom argosy.agent import Agent\nclass Heavy(Agent): ...\n",
    "broken.py": (
        "import importlib\nimportlib.import_module(NAME := 'missing_here')\n"
        "from argosy.agent import Agent\nclass Broken(Agent): ...\n"
    ),
}


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("apt-get", "dpkg-deb", "unshare", "nsenter")
    if os.geteuid() != 0:
        pytest.skip("only root can build an image")
    folder = tmp_path_factory.mktemp("yard")
    for name, text in FILES.items():
        (folder / "tree" / name).parent.mkdir(exist_ok=True)
        (folder / "tree" / name).write_text(text)
    done = argosy(folder, "lock")
    if done.returncode:
        pytest.skip(f"no lock here: {done.stderr.strip().splitlines()[0]}")
    return folder


def argosy(folder: Path, action: str, *words: str, cache: str = "cache") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "XDG_CACHE_HOME": str(folder / cache)}
    command = [ARGOSY, "image", action, "--fleet", str(folder / "tree"), *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_build_names_images_that_pass_smoke_test_and_not_broken_image(yard: Path) -> None:
    done = argosy(yard, "build", "--json")
    assert done.returncode == 1, done.stderr
    result = json.loads(done.stdout)
    assert {name: image["named"] for name, image in result["images"].items()} == {
        "light": True,
        "heavy": True,
        "broken": False,
    }
    assert result["unnamed"] == ["broken"]
    assert "No module named 'missing_here'" in result["images"]["broken"]["proof"]["failed"]["Broken"]
    light = result["images"]["light"]
    assert (light["proof"]["imported"], light["proof"]["ready"]) == (2, 2)
    layout = yard / "tree" / ".argosy" / "images"
    names = [
        item["annotations"].get("org.opencontainers.image.ref.name")
        for item in json.loads((layout / "index.json").read_text())["manifests"]
    ]
    assert names == ["yard/light:latest", "yard/heavy:latest", None]
    planned = json.loads(argosy(yard, "plan", "--json").stdout)
    assert planned["images"]["light"]["size"] == light["size"]


def test_image_contains_needed_files_and_no_shell_or_installer(yard: Path) -> None:
    assert argosy(yard, "build", "--only", "light", "--no-proof", "-o", str(yard / "look")).returncode == 0
    layout = yard / "look"
    (item,) = json.loads((layout / "index.json").read_text())["manifests"]
    manifest = json.loads(blob(layout, item["digest"]))
    config = json.loads(blob(layout, manifest["config"]["digest"]))
    paths: set[str] = set()
    for layer in manifest["layers"]:
        with tarfile.open(fileobj=io.BytesIO(decompress(blob(layout, layer["digest"])))) as archive:
            members = archive.getmembers()
        paths |= {member.name for member in members}
        assert {member.mtime for member in members} == {0}
    assert {"app/light.py", "app/reader.py", "app/words.yaml", "app/fleet.yaml"} <= paths
    assert "app/__pycache__/light.cpython-313.pyc" in paths
    assert "app/unused.py" not in paths
    assert "usr/share/argosy/sbom.cdx.json" in paths
    for name in (
        "usr/bin/sh",
        "usr/bin/bash",
        "usr/bin/dash",
        "usr/bin/apt",
        "usr/bin/pip",
        "usr/local/bin/pip",
    ):
        assert name not in paths
    assert config["config"]["User"] == "10001:10001"
    assert config["config"]["StopSignal"] == "SIGTERM"
    assert config["config"]["Labels"]["argosy.agents"] == "Light,Reader"


def test_image_on_given_base_keeps_base_layers_and_passes_smoke_test(yard: Path) -> None:
    below = yard / "below"
    assert argosy(yard, "build", "--only", "light", "-o", str(below)).returncode == 0
    words = ("--only", "heavy", "-o", str(yard / "upon"), "--base", f"{below}:yard/light:latest", "--json")
    done = argosy(yard, "build", *words)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)["images"]["heavy"]
    assert result["named"]
    manifests = [
        json.loads(blob(folder, json.loads((folder / "index.json").read_text())["manifests"][0]["digest"]))
        for folder in (below, yard / "upon")
    ]
    lower, upper = ([layer["digest"] for layer in manifest["layers"]] for manifest in manifests)
    assert upper[: len(lower)] == lower
    again = json.loads(argosy(yard, "build", *words, "--no-proof").stdout)["images"]["heavy"]
    assert again["digest"] == result["digest"]


def test_build_gives_same_digest_in_other_dir_with_empty_cache(yard: Path) -> None:
    again = yard / "again"
    shutil.copytree(yard / "tree", again / "tree", ignore=shutil.ignore_patterns(".argosy"))
    digests = []
    for folder, cache in ((yard, "cache"), (again, "fresh")):
        done = argosy(folder, "build", "--only", "light", "--no-proof", "--json", cache=cache)
        assert done.returncode == 0, done.stderr
        digests.append(json.loads(done.stdout)["images"]["light"]["digest"])
    assert digests[0] == digests[1]


def test_podman_runs_built_image(yard: Path) -> None:
    require("podman", "runc")
    assert argosy(yard, "build", "--only", "light", "-o", str(yard / "podman")).returncode == 0
    store = ["podman", "--root", str(yard / "pods"), "--runroot", str(yard / "podrun"), "--runtime", "runc"]
    store += ["--cgroup-manager", "cgroupfs"]
    loaded = subprocess.run(
        [*store, "pull", "--quiet", f"oci:{yard / 'podman'}:yard/light:latest"],
        capture_output=True,
        text=True,
        check=False,
    )
    if loaded.returncode:
        pytest.skip(f"podman does not work here: {loaded.stderr.strip()[-200:]}")
    run = [*store, "run", "--rm", "--network", "none", "--read-only", "--cap-drop", "all"]
    run += [
        "--entrypoint",
        "python3",
        loaded.stdout.strip(),
        "-m",
        "argosy.image.runtime.import_check",
        "Light",
        "Reader",
    ]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert [json.loads(line)["error"] for line in done.stdout.splitlines()] == ["", ""], done.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_interrupted_build_leaves_no_process_and_next_build_succeeds(
    yard: Path, number: signal.Signals
) -> None:
    cache = yard / "cache" / "argosy" / "images"
    env = {**os.environ, "XDG_CACHE_HOME": str(yard / "cache")}
    command = [ARGOSY, "image", "build", "--only", "light", "--fleet", str(yard / "tree")]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as builder:
        assert builder.stderr is not None
        for line in builder.stderr:
            if ": built, " in line:
                break  # its proof comes next
        inside = _await_sandbox(yard)
        builder.send_signal(number)
        builder.stderr.read()  # it says that it was interrupted
    assert builder.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130}[number]
    _await_gone(inside)
    assert sandbox_processes(yard) == set()
    for path in cache.glob("*/.new-*"):
        os.utime(path, (1, 1))  # long ago
    for path in cache.glob(".new-*"):
        os.utime(path, (1, 1))
    done = argosy(yard, "build", "--only", "light")
    assert done.returncode == 0, done.stderr
    assert not [*cache.glob("*/.new-*"), *cache.glob(".new-*")]


def test_build_on_full_disk_reports_disk_and_leaves_no_files(yard: Path) -> None:
    small = yard / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(small)], check=True)
    try:
        done = argosy(yard, "build", "--only", "light", "--no-proof", "-o", str(small), "--json")
        assert done.returncode == 1
        (error,) = json.loads(done.stdout)["errors"]
        assert error["code"] == "disk-full"
        assert f"`{small}` has " in error["message"]
        assert [path for path in small.rglob("*") if path.is_file()] == []
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def sandbox_processes(folder: Path) -> set[int]:
    """Return the processes that hold images of a folder, and those inside."""
    found: set[int] = set()
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (path / "cmdline").read_bytes()
            if b"argosy.image.build.sandbox" in words and str(folder).encode() in words:
                found |= {int(path.name), *children_of(int(path.name))}
    return found


def _await_sandbox(folder: Path) -> set[int]:
    deadline = time.monotonic() + 30
    while len(found := sandbox_processes(folder)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def _await_gone(pids: set[int]) -> None:
    deadline = time.monotonic() + 30
    while left := [pid for pid in pids if is_alive(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def blob(layout: Path, digest: str) -> bytes:
    return (layout / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()
