"""Source snapshot: fingerprints of the sources, and the agents that run stale code by them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from argosy.engine.explain.staleness import agent_started_at, find_stale_agents
from argosy.engine.process.lease import LeaseRecord, pack_record
from argosy.engine.process.os_process import ProcessIdentity, read_stat
from argosy.engine.state.source_snapshot import (
    FileFingerprint,
    SourceSnapshot,
    fingerprint_file,
    iter_sources,
    read_source_snapshot,
    update_source_snapshot,
)
from argosy.fleet.fleet_spec import Fleet
from argosy.fleet.loader import load_fleet

FLEET = """\
fleet: toy
agents:
  Script: {run: one.py}
  Class: {run: "parts.two:Two"}
  Command: {run: [sh, three.sh]}
"""


def tree(folder: Path) -> Fleet:
    (folder / "fleet.yaml").write_text(FLEET)
    (folder / "parts").mkdir()
    (folder / "one.py").write_text("import shared\n")
    (folder / "shared.py").write_text("X = 1\n")
    (folder / "parts" / "__init__.py").write_text("")
    (folder / "parts" / "two.py").write_text("from parts import three\nclass Two: ...\n")
    (folder / "parts" / "three.py").write_text("Y = 1\n")
    (folder / "three.sh").write_text("sleep 1\n")
    (folder / "unused.py").write_text("Z = 1\n")
    return load_fleet(folder / "fleet.yaml")


def take_snapshot(folder: Path) -> tuple[SourceSnapshot, float]:
    """Return an snapshot of the tree, and a time at which it held: that of its first print."""
    path = folder / ".snapshot.json"
    assert update_source_snapshot(path, str(folder), [str(folder / "three.sh")])
    snapshot = read_source_snapshot(path)
    return snapshot, min(fingerprints[-1].seen_s for fingerprints in snapshot.files.values())


def stale(fleet: Fleet, snapshot: SourceSnapshot, at_s: float) -> dict[str, list[str]]:
    found = find_stale_agents(fleet, dict.fromkeys(fleet.agents, at_s), snapshot, {})
    return {name: [os.path.basename(file) for file in files] for name, files in found.items()}


def rewrite(path: Path, text: str) -> None:
    """Write a file so that its times differ, however coarse the clock of the file system is."""
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:
        path.write_text(text)


def test_agents_are_stale_only_if_they_load_changed_file(tmp_path: Path) -> None:
    fleet = tree(tmp_path)
    snapshot, at_s = take_snapshot(tmp_path)
    assert stale(fleet, snapshot, at_s) == {}
    rewrite(tmp_path / "unused.py", "Z = 2\n")
    assert stale(fleet, snapshot, at_s) == {}
    rewrite(tmp_path / "shared.py", "X = 2\n")
    assert stale(fleet, snapshot, at_s) == {"Script": ["shared.py"]}
    rewrite(tmp_path / "parts" / "three.py", "Y = 2\n")
    rewrite(tmp_path / "three.sh", "sleep 2\n")
    assert stale(fleet, snapshot, at_s) == {
        "Script": ["shared.py"],
        "Class": ["three.py"],
        "Command": ["three.sh"],
    }


def test_touched_or_reverted_file_does_not_make_agents_stale(tmp_path: Path) -> None:
    fleet = tree(tmp_path)
    snapshot, at_s = take_snapshot(tmp_path)
    for text in ("X = 2\n", "X = 1\n"):
        rewrite(tmp_path / "shared.py", text)
    os.utime(tmp_path / "one.py", (1, 1))
    assert stale(fleet, snapshot, at_s) == {}


def test_deleted_file_makes_agents_stale_that_loaded_it(tmp_path: Path) -> None:
    fleet = tree(tmp_path)
    snapshot, at_s = take_snapshot(tmp_path)
    (tmp_path / "shared.py").unlink()
    assert stale(fleet, snapshot, at_s) == {"Script": ["shared.py"]}
    later_s = max(fingerprints[-1].seen_s for fingerprints in snapshot.files.values()) + 60
    assert stale(fleet, snapshot, later_s) == {}


def test_staleness_uses_mtime_without_fingerprint(tmp_path: Path) -> None:
    fleet = tree(tmp_path)
    written_s = max(each.since_s for name in iter_sources(str(tmp_path)) if (each := fingerprint_file(name)))
    assert stale(fleet, SourceSnapshot(), written_s) == {}
    assert set(stale(fleet, SourceSnapshot(), written_s - 3600)) == {"Script", "Class", "Command"}


def test_staleness_uses_start_time_of_each_agent(tmp_path: Path) -> None:
    fleet = tree(tmp_path)
    first, first_s = take_snapshot(tmp_path)
    rewrite(tmp_path / "shared.py", "X = 2\n")
    second, _ = take_snapshot(tmp_path)
    second_s = second.files[str(tmp_path / "shared.py")][-1].seen_s
    assert len(second.files[str(tmp_path / "shared.py")]) == 2
    assert len(first.files) == len(second.files)
    started = {"Script": first_s, "Class": second_s}
    assert set(find_stale_agents(fleet, started, second, {})) == {"Script"}
    rewrite(tmp_path / "shared.py", "X = 1\n")
    assert find_stale_agents(fleet, {"Script": first_s}, second, {}) == {}
    assert set(find_stale_agents(fleet, {"Script": second_s}, second, {})) == {"Script"}


def test_source_iteration_skips_venvs_and_caches(tmp_path: Path) -> None:
    for name in ("venv/lib/a.py", ".hidden/b.py", "__pycache__/c.py", "code/d.py", "e.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "venv" / "pyvenv.cfg").write_text("")
    assert list(iter_sources(str(tmp_path))) == [str(tmp_path / "code" / "d.py")]


def test_unwritable_or_torn_snapshot_reads_as_empty(tmp_path: Path) -> None:
    tree(tmp_path)
    assert not update_source_snapshot(tmp_path / "no" / "folder.json", str(tmp_path))
    (tmp_path / "torn").write_bytes(b'{"files": {')
    assert read_source_snapshot(tmp_path / "torn") == SourceSnapshot()
    assert fingerprint_file(str(tmp_path / "missing.py")) is None


def test_fingerprint_covers_only_its_time_span() -> None:
    each = FileFingerprint("d", 10.0, 20.0)
    assert [each.covers(at_s) for at_s in (9.9, 10.0, 20.0, 20.1)] == [False, True, True, False]


def test_agent_start_time_is_lease_write_time(tmp_path: Path) -> None:
    lease = tmp_path / "lease"
    me = read_stat(os.getpid())
    assert me is not None
    started_s = agent_started_at(os.getpid(), lease)
    assert started_s is not None
    lease.write_bytes(pack_record(LeaseRecord(b"b" * 16, 1, ProcessIdentity(os.getpid(), me.start_ticks), 1)))
    assert agent_started_at(os.getpid(), lease) == lease.stat().st_mtime > started_s
    lease.write_bytes(
        pack_record(LeaseRecord(b"b" * 16, 1, ProcessIdentity(os.getpid(), me.start_ticks + 1), 1))
    )
    assert agent_started_at(os.getpid(), lease) == pytest.approx(started_s, abs=1.0), (
        "another process has held it"
    )
    assert agent_started_at(2**22 + 1, lease) is None
