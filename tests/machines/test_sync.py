"""Sync of a tree to two machines: by rsync or git, checked by hash, restarted in order, rolled back."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from argosy.engine.deploy.deployment import deploy
from argosy.engine.deploy.ssh_target import SshTarget
from argosy.engine.deploy.tree_swap import prepare_target, roll_back
from argosy.engine.state.tree_version import compute_tree_version, read_tree_version
from argosy.fault import RefusedError
from rig.duo import ARGOSY, Duo
from rig.needs import needs

pytestmark = needs("rsync")

# Does what ssh does, on this machine: the host is named, and the words are a shell's.
SSH = """#!/bin/sh
[ ! -e "$0.cut" ] || { echo "No route to host" >&2; exit 255; }
case $1 in nobody) echo "no such host" >&2; exit 255;; esac
shift
exec sh -c "$*"
"""
AGENT = """
import os, socket, signal
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
    out.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
signal.pause()
"""


@pytest.fixture
def ssh(tmp_path: Path) -> str:
    path = tmp_path / "ssh"
    path.write_text(SSH)
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    root = tmp_path / "here tree"
    (root / "sub").mkdir(parents=True)
    (root / "sub/a.py").write_text("old\n")
    (root / "gone.py").write_text("was here\n")
    return root


def content(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file() and ".argosy" not in path.parts)
    return {str(path.relative_to(root)): path.read_text() for path in files}


def test_sync_deploys_tree_and_rolls_it_back(here: Path, tmp_path: Path, ssh: str) -> None:
    there = tmp_path / "there's tree"
    target = SshTarget("two", "two-host", str(there), [ssh])
    first = compute_tree_version(here)
    assert deploy(here, first, target).before is None
    assert content(there) == content(here)
    assert not deploy(here, first, target).is_new
    before = content(here)

    (here / "sub/a.py").write_text("new\n")
    (here / "gone.py").unlink()
    (here / "more.py").write_text("more\n")
    second = compute_tree_version(here)
    shipment = deploy(here, second, target)
    assert shipment.before == first
    assert content(there) == content(here)
    assert read_tree_version(there) == second

    roll_back(target)
    assert content(there) == before
    assert read_tree_version(there) == first
    assert compute_tree_version(there).tree == first.tree


def make(root: Path, files: dict[str, str]) -> None:
    """Write files, and links (those whose text begins with `->`), in place of what is there."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("->"):
            path.symlink_to(text[2:])
        else:
            path.write_text(text)


OLD = {
    "-x a\nb.py": "odd",
    "file": "f",
    "folder/deep/in.py": "i",
    "link": "->folder",
    "same.py": "s",
    ".gitattributes": "",
}
NEW = {
    "-x a\nb.py": "odder",
    "file/within.py": "w",
    "folder": "a file now",
    "link/real.py": "r",
    "same.py": "s",
    ".gitattributes": "* text eol=crlf\n",
    "lines.txt": "one\ntwo\r\n",
}


@pytest.mark.parametrize("by", ["rsync", "git"])
def test_sync_replaces_files_directories_and_links_by_each_other(tmp_path: Path, ssh: str, by: str) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    target = SshTarget("two", "two-host", str(there), [ssh])
    for files, way_back in ((OLD, None), (NEW, OLD), (OLD, NEW)):
        make(here, files)
        version = compute_tree_version(here)
        assert deploy(here, version, target, by).transport == by
        assert compute_tree_version(there).tree == version.tree
        if way_back:
            roll_back(target)
            make(here, way_back)
            assert compute_tree_version(there).tree == compute_tree_version(here).tree
            deploy(here, compute_tree_version(here), target, by)
            make(here, files)
            deploy(here, version, target, by)
    (there / "file").unlink()  # what the machine itself has put where a file is to be stays, and so does all
    (there / "file/its own").mkdir(parents=True)
    (there / "file/its own/data").write_text("d")
    before = content(there)
    (here / "more.py").write_text("m")
    (here / "file").write_text("f2")
    with pytest.raises(RefusedError, match="not empty"):
        deploy(here, compute_tree_version(here), target, by)
    assert content(there) == before


@pytest.mark.parametrize("moves", [1, 4, 7])
def test_interrupted_deployment_is_undone_by_next_one(tmp_path: Path, ssh: str, moves: int) -> None:
    here, there, count = tmp_path / "here", tmp_path / "there", tmp_path / "moves"
    make(here, OLD)
    old = compute_tree_version(here)
    target = SshTarget("two", "two-host", str(there), [ssh])
    deploy(here, old, target)
    make(here, NEW)
    new = compute_tree_version(here)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "mv").write_text(
        f"#!/bin/sh\necho >> {count}; [ $(wc -l < {count}) -lt {moves} ] || kill -9 0\n"
        f'exec {shutil.which("mv")} "$@"\n'
    )
    (programs / "mv").chmod(0o755)
    weak = ["env", f"PATH={programs}:{os.environ['PATH']}", "setsid", "-w", ssh]
    with pytest.raises(RefusedError):
        deploy(here, new, target._replace(ssh=weak))
    assert (there / ".argosy/changing").exists()
    count.unlink()
    with contextlib.suppress(RefusedError):  # undone in few moves it is not broken off
        prepare_target(target._replace(ssh=weak), new)

    found = prepare_target(target, new)
    assert found.version == old
    assert compute_tree_version(there).tree == old.tree
    deploy(here, new, target)
    assert compute_tree_version(there).tree == new.tree


def test_sync_names_unreachable_machine(here: Path, ssh: str) -> None:
    with pytest.raises(RefusedError, match="no such host"):
        deploy(here, compute_tree_version(here), SshTarget("two", "nobody", "/nowhere", [ssh]))


AGENTS = """
A: {machine: one, run: agent.py}
B: {machine: two, run: agent.py, needs: [A], restart: never}
C: {machine: two, run: agent.py, needs: [B]}
"""


class Pair:
    """Two machines with a tree each; `two` has its own folder."""

    def __init__(self, duo: Duo, ssh: str, agents: str = AGENTS) -> None:
        self.duo, self.ssh = duo, ssh
        self.here, self.there = duo.root / "tree", duo.root / "tree2"
        self.here.mkdir()
        duo.fleet = self.here / "fleet.yaml"
        (self.here / "agent.py").write_text(AGENT)
        duo.write(agents)
        text = duo.fleet.read_text()
        labels = f'two: {{labels: {{tree: "{self.there}", ssh: two-host}}}}'
        duo.fleet.write_text(text.replace("two: {}", labels))

    def serve(self) -> None:
        """Serve `two` from its own folder."""
        self.duo.fleet, own = self.there / "fleet.yaml", self.duo.fleet
        self.duo.serve("two")
        self.duo.fleet = own

    def sync(self, *words: str, code: int = 0) -> dict[str, Any]:
        return self.duo.json("one", "sync", "--ssh", self.ssh, *words, code=code)


def test_status_reports_versions_and_sync_rolls_back_bad_one(duo: Duo, ssh: str) -> None:
    pair = Pair(duo, ssh)
    duo.make_keys()
    first = pair.sync()
    assert first["machines"]["two"] == {
        "before": None,
        "version": first["version"],
        "changed": True,
        "by": "rsync",
        "lock_changed": True,
    }
    pair.serve()
    duo.argosy("one", "up", "-d", "--no-hub")
    assert set(duo.agents("one", "version").values()) == {(first["version"],)}

    (pair.here / "agent.py").write_text(AGENT + "# better\n")
    second = pair.sync("--restart")
    assert second["restarted"] == ["A", "B", "C"]
    assert second["version"] != first["version"]
    assert set(duo.agents("one", "version").values()) == {(second["version"],)}

    (pair.here / "agent.py").write_text(
        "import os\nif os.environ['ARGOSY_AGENT'] == 'B': raise SystemExit(3)\n" + AGENT
    )
    bad = pair.sync("--restart", code=1)
    assert bad["restarted"] == ["A"]
    assert list(bad["not_ready"]) == ["B"]
    assert bad["rolled_back"] == ["two"]
    states = duo.agents("one", "state", "version")
    assert states == {
        "A": ("ready", bad["version"]),
        "B": ("ready", second["version"]),
        "C": ("ready", second["version"]),
    }
    assert (pair.there / "agent.py").read_text() == AGENT + "# better\n"


def test_sync_restart_rolls_back_earlier_bad_version_until_good_one(duo: Duo, ssh: str) -> None:
    pair = Pair(
        duo,
        ssh,
        "A0: {machine: one, run: agent.py}\n"
        "A1: {machine: two, run: agent.py, needs: [A0]}\n"
        "A2: {machine: one, run: agent.py, needs: [A1], restart_limit: {times: 0}}\n"
        "A3: {machine: two, run: agent.py, needs: [A2]}",
    )
    duo.make_keys()
    first = pair.sync()["version"]
    pair.serve()
    duo.argosy("one", "up", "-d", "--no-hub")
    pid = duo.agents("one", "pid")["A3"]

    cut = Path(f"{ssh}.cut")
    fails = "import os\nif os.environ['ARGOSY_AGENT'] == 'A2':\n    "
    (pair.here / "agent.py").write_text(f"{fails}open({str(cut)!r}, 'w')\n    raise SystemExit(3)\n{AGENT}")
    bad = pair.sync()["version"]
    told = pair.sync("--restart", code=1)  # while `two` cannot be told to take its tree back
    assert (told["restarted"], list(told["not_ready"])) == (["A0", "A1"], ["A2"])
    assert told["rolled_back"] == []
    assert "No route to host" in told["not_rolled_back"]["two"]
    assert {name: each["version"] for name, each in told["runs"].items()} == {
        **dict.fromkeys(["A0", "A1", "A2"], bad),
        "A3": first,
    }

    cut.unlink()
    (pair.here / "agent.py").write_text(f"{fails}raise SystemExit(3)\n{AGENT}")
    still = pair.sync("--restart", code=1)
    assert (list(still["not_ready"]), list(still["held_back"])) == (["A2"], ["A3"])
    assert duo.agents("one", "pid")["A3"] == pid
    taken = pair.sync("--restart", code=1)
    assert taken["rolled_back"] == ["two"]
    assert taken["machines"]["two"]["version"] == bad
    assert duo.agents("one", "pid", "state")["A3"] == (*pid, "ready")

    (pair.here / "agent.py").write_text(AGENT + "# good\n")
    good = pair.sync("--restart")
    assert duo.agents("one", "state", "version") == dict.fromkeys(
        ["A0", "A1", "A2", "A3"], ("ready", good["version"])
    )
    assert not (pair.there / ".argosy/previous").exists()


def test_sync_reports_failed_and_unknown_machines(duo: Duo) -> None:
    pair = Pair(duo, "false")
    found = pair.sync(code=1)
    assert list(found["failed"]) == ["two"]
    done = duo.machines["one"].run(
        [ARGOSY, "sync", "--only", "three", "--json", "--fleet", str(duo.fleet)], env=duo.env("one")
    )
    assert done.returncode == 2
    assert json.loads(done.stdout)["errors"][0]["code"] == "unknown-machine"
