"""Control groups: which one is delegated, what is written there, and real ones on a mounted hierarchy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.engine.process.cgroup import CPU, MEMORY, ControlGroups, available_controllers, find_delegated
from cgroups import made_group


def folder_of_group(path: Path, controllers: str = "cpu io memory pids") -> Path:
    """Return a folder with the files that a group has; what limits below it is none yet."""
    path.mkdir(parents=True)
    for name, text in (("procs", ""), ("controllers", controllers), ("subtree_control", "")):
        (path / f"cgroup.{name}").write_text(text)
    return path


def proc_of(tmp_path: Path, group: str, mounts: str) -> Path:
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "cgroup").write_text(f"4:memory:/old\n0::{group}\n")
    (proc / "mountinfo").write_text(mounts)
    return proc


def test_control_group_of_agent_gets_limit_files(tmp_path: Path) -> None:
    root = folder_of_group(tmp_path / "root")
    groups = ControlGroups(root, "toy-1")
    assert groups.enforced_limits == {MEMORY, CPU}
    assert (root / "cgroup.subtree_control").read_text() == "+cpu +memory"
    group = groups.create("A", 300 << 20, 1.5)
    assert group == root / "toy-1.A"
    assert {file.name: file.read_text() for file in group.iterdir()} == {
        "memory.max": str(300 << 20),
        "memory.oom.group": "1",
        "cpu.max": "150000 100000",
    }


def test_control_group_gets_only_declared_and_enforced_limits(tmp_path: Path) -> None:
    groups = ControlGroups(folder_of_group(tmp_path / "root", "cpu pids"), "toy-1")
    assert groups.enforced_limits == {CPU}
    assert list(groups.create("A", 300 << 20, None).iterdir()) == []
    assert [file.name for file in groups.create("B", 300 << 20, 0.001).iterdir()] == ["cpu.max"]
    assert (tmp_path / "root" / "toy-1.B" / "cpu.max").read_text() == "1000 100000"  # the least that there is


def test_oom_kill_is_reported_only_for_current_start(tmp_path: Path) -> None:
    groups = ControlGroups(folder_of_group(tmp_path / "root"), "toy-1")
    events = groups.create("A", 1 << 20, None) / "memory.events"
    assert not groups.was_oom_killed("A")
    events.write_text("low 0\nmax 7\noom 2\noom_kill 2\noom_group_kill 1\n")
    assert groups.was_oom_killed("A")
    groups.create("A", 1 << 20, None)
    assert not groups.was_oom_killed("A")


def test_delegated_group_is_found_below_its_mount(tmp_path: Path) -> None:
    top = folder_of_group(tmp_path / "mnt" / "argosy.scope")
    mounts = (
        f"30 24 0:26 / {tmp_path}/v1 rw,relatime - cgroup cgroup rw,memory\n"
        f"31 24 0:27 /user.slice {tmp_path}/mnt rw,relatime shared:9 - cgroup2 cgroup2 rw\n"
    )
    proc = proc_of(tmp_path, "/user.slice/argosy.scope", mounts)
    # Root may write everywhere, and nobody gave it this one; what a plain user may write, somebody gave.
    assert find_delegated({}, proc) == (None if os.geteuid() == 0 else top)
    os.setxattr(top, "user.delegate", b"1")
    assert find_delegated({}, proc) == top
    inner = folder_of_group(top / "supervisor")
    (proc / "cgroup").write_text("0::/user.slice/argosy.scope/supervisor\n")
    assert find_delegated({}, proc) == top  # the next supervisor, or `up`, in the group of the one before
    os.setxattr(inner, "user.delegate", b"1")  # for root what a plain user's always is
    assert find_delegated({}, proc) == top
    (proc / "cgroup").write_text("0::/elsewhere\n")
    assert find_delegated({}, proc) is None
    (proc / "cgroup").write_text("4:memory:/old\n")
    assert find_delegated({}, proc) is None


def test_delegated_group_can_be_set_by_variable(tmp_path: Path) -> None:
    group = folder_of_group(tmp_path / "named")
    assert find_delegated({"ARGOSY_CGROUP": str(group)}) == group
    assert find_delegated({"ARGOSY_CGROUP": str(tmp_path)}) is None
    assert available_controllers(group) == {MEMORY, CPU}
    assert available_controllers(None) == frozenset()


@pytest.fixture
def real() -> Iterator[Path]:
    """A group of this test's own."""
    with made_group() as group:
        yield group


def test_real_control_groups_hold_processes_and_are_removed_when_empty(real: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as inside:
        (real / "cgroup.procs").write_text(str(inside.pid))
        groups = ControlGroups(real, "toy-1")
        assert groups.enforced_limits == available_controllers(real)
        assert (real / "cgroup.procs").read_text() == ""
        assert (real / "supervisor" / "cgroup.procs").read_text().split() == [str(inside.pid)]
        group = groups.create("A", 300 << 20, 2.0)
        (group / "cgroup.procs").write_text(str(inside.pid))
        groups.remove("A")
        assert group.is_dir()
        inside.communicate(b"\n")
    groups.remove("A")
    assert not group.exists()
