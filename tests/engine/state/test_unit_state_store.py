"""Unit state store: persisted unit states are read back after crashes, full disks and version changes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.engine.protocol.state_machine import State
from argosy.engine.state.state_dir import StateDir
from argosy.engine.state.unit_state_store import PersistedUnitState, UnitStateStore, read_unit_states

unit_states = st.builds(
    PersistedUnitState,
    desired_up=st.booleans(),
    digest=st.text(max_size=40),
    restarts=st.integers(0, 10**6),
    ready_s=st.none() | st.floats(0, 2e9),
    reason=st.text(max_size=100),
    state=st.sampled_from(State),
    last_lines=st.lists(st.text(max_size=40), max_size=10),
)


@pytest.fixture
def folder(tmp_path: Path) -> StateDir:
    return StateDir(tmp_path, tmp_path / "r")


@settings(deadline=None)
@given(several=st.lists(st.tuples(st.sampled_from("ABC"), unit_states), min_size=1, max_size=8))
def test_unit_state_store_reads_last_written_state_of_each_agent(
    tmp_path_factory: pytest.TempPathFactory, several: list[tuple[str, PersistedUnitState]]
) -> None:
    folder = StateDir(tmp_path_factory.mktemp("state"), Path("/none"))
    store, last = UnitStateStore(folder), dict(several)
    for agent, will in several:
        assert store.write(agent, will)
        assert store.read(agent) == will
    store.close()  # as the kernel does for one that is killed
    after = UnitStateStore(folder)
    assert read_unit_states(folder) == last
    assert {agent: after.read(agent) for agent in last} == last
    after.close()
    assert folder.unit_state.stat().st_size == 4096 * len(last)


def test_unit_state_store_truncates_long_state_and_keeps_other_pages(folder: StateDir) -> None:
    store = UnitStateStore(folder)
    long = PersistedUnitState(
        desired_up=True, digest="d", restarts=7, reason="x" * 5000, last_lines=["y" * 200] * 30
    )
    short = {
        "A": PersistedUnitState(desired_up=True, digest="a"),
        "C": PersistedUnitState(desired_up=False, digest="c"),
    }
    for agent, will in {"A": short["A"], "B": long, "C": short["C"]}.items():
        assert store.write(agent, will)
    assert store.write("B", long)
    kept = store.read("B")
    assert kept is not None
    assert (kept.restarts, kept.last_lines, kept.reason) == (7, [], "x" * 2500)
    assert {agent: store.read(agent) for agent in short} == short
    store.close()


def test_unit_state_store_ignores_torn_page_and_rewrites_it_whole(
    folder: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = UnitStateStore(folder)
    assert store.write("A", PersistedUnitState(desired_up=True, digest="a"))
    real = os.pwrite
    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", lambda file, data, at: real(file, data[:20], at))
        assert not store.write("B", PersistedUnitState(desired_up=True, digest="b"))
    store.close()
    store = UnitStateStore(folder)
    assert store.read("B") is None
    assert store.write("B", PersistedUnitState(desired_up=False, digest="b"))
    assert store.read("B") == PersistedUnitState(desired_up=False, digest="b")
    assert store.read("A") == PersistedUnitState(desired_up=True, digest="a")
    store.close()


def test_unit_state_store_reports_failed_write_and_recovers_with_directory(tmp_path: Path) -> None:
    folder = StateDir(tmp_path / "gone", tmp_path / "r")
    store = UnitStateStore(folder)
    assert not store.write("A", PersistedUnitState(desired_up=True, digest="d"))
    assert store.read("A") is None
    folder.path.mkdir()
    assert store.write("A", PersistedUnitState(desired_up=True, digest="d"))
    assert store.read("A") == PersistedUnitState(desired_up=True, digest="d")
    store.close()


def test_unit_state_store_reads_page_of_earlier_version(folder: StateDir) -> None:
    will = {"wanted": True, "digest": "old", "restarts": 3, "state": "ready"}
    folder.unit_state.write_bytes(msgspec.json.encode({"agent": "A", "will": will}).ljust(4096))
    expected = PersistedUnitState(desired_up=True, digest="old", restarts=3, state=State.READY)
    assert read_unit_states(folder) == {"A": expected}
    store = UnitStateStore(folder)
    assert store.read("A") == expected
    assert store.write("A", PersistedUnitState(desired_up=False, digest="new"))
    assert store.read("A") == PersistedUnitState(desired_up=False, digest="new")
    store.close()


def test_unit_state_store_migrates_legacy_state_file(folder: StateDir) -> None:
    folder.legacy_unit_state("A").parent.mkdir()
    folder.legacy_unit_state("A").write_bytes(
        msgspec.json.encode({"wanted": False, "digest": "old", "restarts": 3})
    )
    store = UnitStateStore(folder)
    assert store.read("A") == PersistedUnitState(desired_up=False, digest="old", restarts=3)
    assert store.write("A", PersistedUnitState(desired_up=True, digest="new"))
    assert store.read("A") == PersistedUnitState(desired_up=True, digest="new")
    store.close()


def _delete(folder: StateDir) -> None:
    folder.unit_state.unlink()


def _replace(folder: StateDir) -> None:
    beside = folder.path / "beside"
    beside.write_bytes(b"of another day")
    beside.rename(folder.unit_state)


@pytest.mark.parametrize("harm", [_delete, _replace])
@pytest.mark.parametrize("is_watched", [True, False])
def test_unit_state_store_restores_deleted_or_replaced_file(
    folder: StateDir, harm: Callable[[StateDir], None], is_watched: bool
) -> None:
    will = PersistedUnitState(desired_up=False, digest="d")

    async def test() -> None:
        store = UnitStateStore(folder)
        store.write("A", will)
        if is_watched:
            store.watch(asyncio.get_running_loop())
            folder.unit_state.chmod(0o640)  # is no harm, and ends no watch
            await asyncio.sleep(0)
        for name in "BC":
            harm(folder)
            if not is_watched:
                assert store.write(name, will)
            async with asyncio.timeout(30):
                while len(read_unit_states(folder)) != (1 if is_watched else "ABC".index(name) + 1):
                    await asyncio.sleep(0.01)
        assert all(each == will for each in read_unit_states(folder).values())
        store.close()

    folder.supervisor_lock.touch()
    asyncio.run(test())


def test_unit_state_store_restores_nothing_without_supervisor_lock(folder: StateDir) -> None:
    store = UnitStateStore(folder)
    store.write("A", PersistedUnitState(desired_up=True, digest="d"))
    folder.unit_state.unlink()  # as its lock
    assert store.write("A", PersistedUnitState(desired_up=False, digest="d"))
    assert list(folder.path.iterdir()) == []
    folder.supervisor_lock.touch()
    store.restore()
    assert not read_unit_states(folder)["A"].desired_up
    store.close()
