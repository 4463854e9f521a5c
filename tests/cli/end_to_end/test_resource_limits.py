"""Declared resource limits: enforced where possible, reported where not, on real processes."""

from __future__ import annotations

import os
import resource
import signal
from typing import TYPE_CHECKING

import pytest

from argosy.engine.process.resource_limits import hard_open_files_limit, unenforced_limits
from argosy.fleet.loader import load_fleet
from cgroups import made_group

if TYPE_CHECKING:
    from pathlib import Path

    from ..conftest import Rig


def test_memory_and_open_files_limits_apply_to_agent_and_its_children(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        agents:
          A:
            run: [sh, -c, "python3 greedy.py; exec sleep 1000"]
            memory: 300MiB
            open_files: 321
            ready: {probe: log, pattern: "^told$"}
        """)
    rig.write(
        """
        import resource
        print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], resource.getrlimit(resource.RLIMIT_DATA))
        kept = bytearray(100 << 20)
        try:
            bytearray(400 << 20)
        except MemoryError:
            print("no more")
        print("told")
        """,
        "greedy.py",
    )
    up = rig.argosy("up", "-d")
    assert up.returncode == 0, up.stderr
    lines = rig.argosy("logs", "A").stdout
    bound = 300 << 20
    assert f"321 ({bound}, {bound})" in lines
    assert "no more" in lines
    assert "warning: fleet.yaml:4:3: `memory` limits what each process of `A` reserves" in up.stderr


def test_agent_without_limits_runs_unlimited_without_warning(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        agents:
          A: {run: [sh, -c, "ulimit -d; exec sleep 1000"], ready: {probe: log, pattern: .}}
        """)
    up = rig.argosy("up", "-d")
    assert "unlimited" in rig.argosy("logs", "A").stdout
    assert "warning" not in up.stderr


def test_check_warns_of_unenforced_limit(rig: Rig) -> None:
    rig.write("fleet: toy\ndefaults: {cpus: 2}\nagents:\n  A: {run: speaker.py}\n  B: {run: speaker.py}\n")
    found = rig.json("check")
    assert [(fault["code"], fault["message"]) for fault in found["warnings"]] == [
        ("cpus-not-held", "`cpus` of `A`, `B` is not enforced")
    ]


@pytest.mark.parametrize(("most", "codes"), [(None, []), (64, []), (63, ["open-files-not-held"])])
def test_open_files_above_hard_limit_is_warned_of(tmp_path: Path, most: int | None, codes: list[str]) -> None:
    fleet = load_fleet(tmp_path / "fleet.yaml", "fleet: f\nagents: {A: {run: a.py, open_files: 64}}\n")
    assert [fault.code for fault in unenforced_limits(fleet, most, ())] == codes


def test_same_warning_of_many_agents_is_reported_once(tmp_path: Path) -> None:
    agents = ", ".join(f"A{number}: {{run: a.py, memory: 1GiB}}" for number in range(9))
    fleet = load_fleet(tmp_path / "fleet.yaml", f"fleet: f\nagents: {{{agents}}}\n")
    (fault,) = unenforced_limits(fleet, None, ())
    assert "`A0`, `A1`, `A2` and 6 more" in fault.message


def test_hard_open_files_limit_is_that_of_own_process() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard_open_files_limit() == (None if hard == resource.RLIM_INFINITY else hard)


def test_limits_enforced_by_control_group_are_not_warned_of(tmp_path: Path) -> None:
    fleet = load_fleet(tmp_path / "fleet.yaml", "fleet: f\nagents: {A: {run: a.py, memory: 1GiB, cpus: 2}}\n")
    codes = {
        held: [fault.code for fault in unenforced_limits(fleet, None, held)]
        for held in ((), ("cpu",), ("cpu", "memory"))
    }
    assert codes == {
        (): ["memory-per-process", "cpus-not-held"],
        ("cpu",): ["memory-per-process"],
        ("cpu", "memory"): [],
    }


def test_each_agent_gets_own_control_group_that_down_removes(rig: Rig) -> None:
    rig.write("""
        fleet: toy
        agents:
          A: {run: speaker.py, cpus: 1, ready: {probe: notify}}
          B: {run: [sh, -c, "sleep 1000 & exec sleep 1000"], ready: {probe: alive, seconds: 0}}
        """)
    with made_group() as root:
        rig.env["ARGOSY_CGROUP"] = str(root)
        rig.json("up", "-d")
        for name in "AB":
            (group,) = root.glob(f"*.{name}")
            assert str(rig.pid(name)) in (group / "cgroup.procs").read_text().split()
        rig.until(lambda: len((group / "cgroup.procs").read_text().split()) == 2)  # with its child
        old = rig.pid("B")
        os.kill(old, signal.SIGKILL)
        rig.until(lambda: rig.agents()["B"]["state"] == "ready" and rig.pid("B") != old)
        assert str(rig.pid("B")) in (group / "cgroup.procs").read_text().split()
        rig.kill_supervisor()
        assert rig.json("up", "-d")["adopted"] == ["A", "B"]
        rig.json("down")
        assert list(root.glob("*.[AB]")) == []
        rig.until(lambda: not rig.leftovers())


def test_start_fails_with_reason_if_control_group_cannot_be_entered(rig: Rig) -> None:
    rig.write(
        "fleet: toy\ndefaults: {restart: never}\nagents: {A: {run: speaker.py, ready: {probe: notify}}}\n"
    )
    group = rig.folder / "no-group"
    group.mkdir()
    for file in ("procs", "controllers", "subtree_control"):
        (group / f"cgroup.{file}").write_text("")
    rig.env["ARGOSY_CGROUP"] = str(group)
    up = rig.json("up", "-d", code=1)
    assert "its control group" in up["not_ready"]["A"]
    assert "cannot be entered: No such file or directory" in rig.argosy("logs", "A").stdout
