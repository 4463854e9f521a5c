"""Sync of a tree over a real ssh server to another machine: what is deployed, and why it fails."""

from __future__ import annotations

import json
import os
import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from argosy.engine.deploy.deployment import Deployment, deploy
from argosy.engine.deploy.ssh_target import SshTarget
from argosy.engine.state.tree_version import compute_tree_version, read_tree_version
from argosy.fault import RefusedError
from rig.duo import Duo, until
from rig.sshd import Sshd

TOO_BIG = 1_000_000
ARRIVED = 500_000


class SshDeployment:
    """A tree on `one` that goes to `two` by ssh. disk: the size of the disk that it comes to there."""

    def __init__(self, duo: Duo, disk: str = "") -> None:
        self.duo = duo
        self.here, self.there = duo.root / "tree", duo.root / "two's tree"
        self.here.mkdir()
        self.there.mkdir()
        if disk:
            words = ["mount", "-t", "tmpfs", "-o", f"size={disk}", "tmpfs", str(self.there)]
            assert duo.lan.popen(words).wait(30) == 0
        duo.fleet = self.here / "fleet.yaml"
        duo.write("A: {machine: one}\nB: {machine: two}")
        text = duo.fleet.read_text().replace("two: {}", f'two: {{labels: {{tree: "{self.there}"}}}}')
        duo.fleet.write_text(text)
        self.sshd = Sshd(duo.machines["two"], duo.root / "sshd")

    def deploy_tree(self, ssh: list[str] | None = None, by: str = "") -> Deployment:
        words = self.duo.machines["one"].words(ssh or self.sshd.ssh())
        target = SshTarget("two", self.duo.machines["two"].address, str(self.there), words)
        return deploy(self.here, compute_tree_version(self.here), target, by)

    def refused(self, ssh: list[str] | None = None, by: str = "") -> str:
        """Return the code of why nothing was brought."""
        with pytest.raises(RefusedError) as refused:
            self.deploy_tree(ssh, by)
        return refused.value.faults[0].code


@pytest.fixture
def ssh_deployment(duo: Duo) -> SshDeployment:
    return SshDeployment(duo)


def content(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file() and ".argosy" not in path.parts)
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_sync_over_ssh_deploys_tree_or_reports_error_code(ssh_deployment: SshDeployment) -> None:
    first = ssh_deployment.duo.json("one", "sync", "--ssh", shlex.join(ssh_deployment.sshd.ssh()))
    assert first["machines"]["two"]["by"] == "rsync"
    assert content(ssh_deployment.there) == content(ssh_deployment.here)
    noted = read_tree_version(ssh_deployment.there)
    assert noted is not None
    assert noted.tree == first["version"] == compute_tree_version(ssh_deployment.there).tree

    before, inode = content(ssh_deployment.there), (ssh_deployment.there / "fleet.yaml").stat().st_ino
    (ssh_deployment.here / "more.txt").write_text("more\n")
    assert ssh_deployment.refused(ssh_deployment.sshd.ssh(key="stranger")) == "key-refused"
    assert ssh_deployment.refused(ssh_deployment.sshd.ssh(known="nobody-known")) == "host-key-unknown"
    assert ssh_deployment.refused(ssh_deployment.sshd.ssh(known="another-known")) == "host-key-changed"
    (ssh_deployment.sshd.programs / "rsync").unlink()
    assert ssh_deployment.refused(by="rsync") == "no-rsync-there"
    assert content(ssh_deployment.there) == before
    assert read_tree_version(ssh_deployment.there) == noted

    assert ssh_deployment.deploy_tree().transport == "git"
    assert content(ssh_deployment.there) == content(ssh_deployment.here)
    assert (ssh_deployment.there / "fleet.yaml").stat().st_ino == inode  # what is the same stays
    (ssh_deployment.sshd.programs / "git").unlink()
    (ssh_deployment.here / "more.txt").write_text("still more\n")
    ssh = shlex.join(ssh_deployment.sshd.ssh())
    report = json.loads(ssh_deployment.duo.argosy("one", "sync", "--json", "--ssh", ssh, code=1).stdout)
    assert report["codes"] == {"two": "no-rsync-there"}


def test_sync_reports_full_disk_and_leaves_target_unchanged(duo: Duo) -> None:
    ssh_deployment = SshDeployment(duo, "400k")

    def listed() -> str:
        return (
            duo.machines["two"].run(["find", str(ssh_deployment.there), "-type", "f", "-size", "-90k"]).stdout
        )

    ssh_deployment.deploy_tree()
    before = listed()
    (ssh_deployment.here / "big.bin").write_bytes(os.urandom(TOO_BIG))
    assert ssh_deployment.refused() == "disk-full"
    assert listed() == before
    assert ssh_deployment.refused(by="git") == "disk-full"
    (ssh_deployment.here / "big.bin").write_text("small\n")
    assert ssh_deployment.deploy_tree().is_new
    assert str(ssh_deployment.there / "big.bin") in listed()


def test_interrupted_transfer_keeps_old_tree_and_resumes(ssh_deployment: SshDeployment) -> None:
    ssh_deployment.deploy_tree()
    old, noted = content(ssh_deployment.there), read_tree_version(ssh_deployment.there)
    (ssh_deployment.here / "a-first.txt").write_text("whole\n")
    (ssh_deployment.here / "b-second.bin").write_bytes(os.urandom(TOO_BIG))
    rsync = ssh_deployment.sshd.programs / "rsync"
    real = rsync.readlink()
    rsync.unlink()
    # What is said at the beginning is awaited: nothing may be held back.
    rsync.write_text(f'#!/bin/sh\n{{ stdbuf -o0 head -c {ARRIVED}; exec sleep 600; }} | exec {real} "$@"\n')
    rsync.chmod(0o755)
    arrived = ssh_deployment.there / ".argosy/incoming/tree/a-first.txt"
    with ThreadPoolExecutor() as pool:
        ssh = ssh_deployment.sshd.ssh("-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=5")
        code = pool.submit(ssh_deployment.refused, ssh, "rsync")
        until(arrived.exists)
        ssh_deployment.duo.machines["two"].cut()
        assert code.result(60) == "connection-lost"
    assert content(ssh_deployment.there) == old
    assert read_tree_version(ssh_deployment.there) == noted

    ssh_deployment.duo.machines["two"].mend()
    rsync.unlink()
    rsync.symlink_to(real)
    inode = arrived.stat().st_ino
    assert ssh_deployment.deploy_tree().before == noted
    assert content(ssh_deployment.there) == content(ssh_deployment.here)
    assert (ssh_deployment.there / "a-first.txt").stat().st_ino == inode  # it was not brought again
    assert not (ssh_deployment.there / ".argosy/incoming").exists()
