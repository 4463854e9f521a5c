"""A tree through a real ssh server to another machine: what is brought, and why it is not."""

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


class Site:
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

    def ship(self, ssh: list[str] | None = None, by: str = "") -> Deployment:
        words = self.duo.machines["one"].words(ssh or self.sshd.ssh())
        target = SshTarget("two", self.duo.machines["two"].address, str(self.there), words)
        return deploy(self.here, compute_tree_version(self.here), target, by)

    def refused(self, ssh: list[str] | None = None, by: str = "") -> str:
        """Return the code of why nothing was brought."""
        with pytest.raises(RefusedError) as refused:
            self.ship(ssh, by)
        return refused.value.faults[0].code


@pytest.fixture
def site(duo: Duo) -> Site:
    return Site(duo)


def content(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file() and ".argosy" not in path.parts)
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_what_ssh_brings_and_why_it_does_not(site: Site) -> None:
    first = site.duo.json("one", "sync", "--ssh", shlex.join(site.sshd.ssh()))
    assert first["machines"]["two"]["by"] == "rsync"
    assert content(site.there) == content(site.here)
    noted = read_tree_version(site.there)
    assert noted is not None
    assert noted.tree == first["version"] == compute_tree_version(site.there).tree

    before, inode = content(site.there), (site.there / "fleet.yaml").stat().st_ino
    (site.here / "more.txt").write_text("more\n")
    assert site.refused(site.sshd.ssh(key="stranger")) == "key-refused"
    assert site.refused(site.sshd.ssh(known="nobody-known")) == "host-key-unknown"
    assert site.refused(site.sshd.ssh(known="another-known")) == "host-key-changed"
    (site.sshd.programs / "rsync").unlink()
    assert site.refused(by="rsync") == "no-rsync-there"
    assert content(site.there) == before
    assert read_tree_version(site.there) == noted

    assert site.ship().transport == "git"
    assert content(site.there) == content(site.here)
    assert (site.there / "fleet.yaml").stat().st_ino == inode  # what is the same stays
    (site.sshd.programs / "git").unlink()
    (site.here / "more.txt").write_text("still more\n")
    ssh = shlex.join(site.sshd.ssh())
    told = json.loads(site.duo.argosy("one", "sync", "--json", "--ssh", ssh, code=1).stdout)
    assert told["codes"] == {"two": "no-rsync-there"}


def test_a_full_disk_there_is_named_and_left_as_it_was(duo: Duo) -> None:
    site = Site(duo, "400k")

    def listed() -> str:
        return duo.machines["two"].run(["find", str(site.there), "-type", "f", "-size", "-90k"]).stdout

    site.ship()
    before = listed()
    (site.here / "big.bin").write_bytes(os.urandom(TOO_BIG))
    assert site.refused() == "disk-full"
    assert listed() == before
    assert site.refused(by="git") == "disk-full"
    (site.here / "big.bin").write_text("small\n")
    assert site.ship().is_new
    assert str(site.there / "big.bin") in listed()


def test_a_transfer_that_was_cut_leaves_the_old_tree_and_is_gone_on_with(site: Site) -> None:
    site.ship()
    old, noted = content(site.there), read_tree_version(site.there)
    (site.here / "a-first.txt").write_text("whole\n")
    (site.here / "b-second.bin").write_bytes(os.urandom(TOO_BIG))
    rsync = site.sshd.programs / "rsync"
    real = rsync.readlink()
    rsync.unlink()
    # What is said at the beginning is awaited: nothing may be held back.
    rsync.write_text(f'#!/bin/sh\n{{ stdbuf -o0 head -c {ARRIVED}; exec sleep 600; }} | exec {real} "$@"\n')
    rsync.chmod(0o755)
    arrived = site.there / ".argosy/incoming/tree/a-first.txt"
    with ThreadPoolExecutor() as pool:
        ssh = site.sshd.ssh("-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=5")
        code = pool.submit(site.refused, ssh, "rsync")
        until(arrived.exists)
        site.duo.machines["two"].cut()
        assert code.result(60) == "connection-lost"
    assert content(site.there) == old
    assert read_tree_version(site.there) == noted

    site.duo.machines["two"].mend()
    rsync.unlink()
    rsync.symlink_to(real)
    inode = arrived.stat().st_ino
    assert site.ship().before == noted
    assert content(site.there) == content(site.here)
    assert (site.there / "a-first.txt").stat().st_ino == inode  # it was not brought again
    assert not (site.there / ".argosy/incoming").exists()
