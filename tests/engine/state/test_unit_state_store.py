"""Wills: what is written is read again, longer or shorter than before, by whoever comes after a kill."""

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

wills = st.builds(
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
@given(several=st.lists(st.tuples(st.sampled_from("ABC"), wills), min_size=1, max_size=8))
def test_the_last_will_of_each_is_the_one_that_is_read(
    tmp_path_factory: pytest.TempPathFactory, several: list[tuple[str, PersistedUnitState]]
) -> None:
    folder = StateDir(tmp_path_factory.mktemp("state"), Path("/none"))
    book, last = UnitStateStore(folder), dict(several)
    for agent, will in several:
        assert book.write(agent, will)
        assert book.read(agent) == will
    book.close()  # as the kernel does for one that is killed
    after = UnitStateStore(folder)
    assert read_unit_states(folder) == last
    assert {agent: after.read(agent) for agent in last} == last
    after.close()
    assert folder.unit_state.stat().st_size == 4096 * len(last)


def test_what_is_too_long_for_its_page_loses_lines_and_words_and_leaves_the_others(folder: StateDir) -> None:
    book = UnitStateStore(folder)
    long = PersistedUnitState(
        desired_up=True, digest="d", restarts=7, reason="x" * 5000, last_lines=["y" * 200] * 30
    )
    short = {
        "A": PersistedUnitState(desired_up=True, digest="a"),
        "C": PersistedUnitState(desired_up=False, digest="c"),
    }
    for agent, will in {"A": short["A"], "B": long, "C": short["C"]}.items():
        assert book.write(agent, will)
    assert book.write("B", long)
    kept = book.read("B")
    assert kept is not None
    assert (kept.restarts, kept.last_lines, kept.reason) == (7, [], "x" * 2500)
    assert {agent: book.read(agent) for agent in short} == short
    book.close()


def test_a_page_that_a_full_disk_has_cut_is_nobodys_and_the_next_will_is_whole(
    folder: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = UnitStateStore(folder)
    assert book.write("A", PersistedUnitState(desired_up=True, digest="a"))
    real = os.pwrite
    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", lambda file, data, at: real(file, data[:20], at))
        assert not book.write("B", PersistedUnitState(desired_up=True, digest="b"))
    book.close()
    book = UnitStateStore(folder)
    assert book.read("B") is None
    assert book.write("B", PersistedUnitState(desired_up=False, digest="b"))
    assert book.read("B") == PersistedUnitState(desired_up=False, digest="b")
    assert book.read("A") == PersistedUnitState(desired_up=True, digest="a")
    book.close()


def test_what_cannot_be_written_is_told_and_the_folder_may_come_back(tmp_path: Path) -> None:
    folder = StateDir(tmp_path / "gone", tmp_path / "r")
    book = UnitStateStore(folder)
    assert not book.write("A", PersistedUnitState(desired_up=True, digest="d"))
    assert book.read("A") is None
    folder.path.mkdir()
    assert book.write("A", PersistedUnitState(desired_up=True, digest="d"))
    assert book.read("A") == PersistedUnitState(desired_up=True, digest="d")
    book.close()


def test_a_page_of_an_earlier_version_is_read(folder: StateDir) -> None:
    will = {"wanted": True, "digest": "old", "restarts": 3, "state": "ready"}
    folder.unit_state.write_bytes(msgspec.json.encode({"agent": "A", "will": will}).ljust(4096))
    expected = PersistedUnitState(desired_up=True, digest="old", restarts=3, state=State.READY)
    assert read_unit_states(folder) == {"A": expected}
    book = UnitStateStore(folder)
    assert book.read("A") == expected
    assert book.write("A", PersistedUnitState(desired_up=False, digest="new"))
    assert book.read("A") == PersistedUnitState(desired_up=False, digest="new")
    book.close()


def test_a_fleet_of_an_earlier_version_is_read_and_goes_over(folder: StateDir) -> None:
    folder.legacy_unit_state("A").parent.mkdir()
    folder.legacy_unit_state("A").write_bytes(
        msgspec.json.encode({"wanted": False, "digest": "old", "restarts": 3})
    )
    book = UnitStateStore(folder)
    assert book.read("A") == PersistedUnitState(desired_up=False, digest="old", restarts=3)
    assert book.write("A", PersistedUnitState(desired_up=True, digest="new"))
    assert book.read("A") == PersistedUnitState(desired_up=True, digest="new")
    book.close()


def _delete(folder: StateDir) -> None:
    folder.unit_state.unlink()


def _replace(folder: StateDir) -> None:
    beside = folder.path / "beside"
    beside.write_bytes(b"of another day")
    beside.rename(folder.unit_state)


@pytest.mark.parametrize("harm", [_delete, _replace])
@pytest.mark.parametrize("is_watched", [True, False])
def test_a_file_that_somebody_takes_away_is_put_back(
    folder: StateDir, harm: Callable[[StateDir], None], is_watched: bool
) -> None:
    will = PersistedUnitState(desired_up=False, digest="d")

    async def test() -> None:
        book = UnitStateStore(folder)
        book.write("A", will)
        if is_watched:
            book.watch(asyncio.get_running_loop())
            folder.unit_state.chmod(0o640)  # is no harm, and ends no watch
            await asyncio.sleep(0)
        for name in "BC":
            harm(folder)
            if not is_watched:
                assert book.write(name, will)
            async with asyncio.timeout(30):
                while len(read_unit_states(folder)) != (1 if is_watched else "ABC".index(name) + 1):
                    await asyncio.sleep(0.01)
        assert all(each == will for each in read_unit_states(folder).values())
        book.close()

    folder.supervisor_lock.touch()
    asyncio.run(test())


def test_nothing_is_put_back_into_a_folder_that_is_being_deleted(folder: StateDir) -> None:
    book = UnitStateStore(folder)
    book.write("A", PersistedUnitState(desired_up=True, digest="d"))
    folder.unit_state.unlink()  # as its lock
    assert book.write("A", PersistedUnitState(desired_up=False, digest="d"))
    assert list(folder.path.iterdir()) == []
    folder.supervisor_lock.touch()
    book.restore()
    assert not read_unit_states(folder)["A"].desired_up
    book.close()
