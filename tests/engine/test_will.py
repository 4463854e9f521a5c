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

from argosy.engine.folder import Folder
from argosy.engine.state import State
from argosy.engine.will import Will, Wills, read_wills

wills = st.builds(
    Will,
    wanted=st.booleans(),
    digest=st.text(max_size=40),
    restarts=st.integers(0, 10**6),
    ready_s=st.none() | st.floats(0, 2e9),
    reason=st.text(max_size=100),
    state=st.sampled_from(State),
    last_lines=st.lists(st.text(max_size=40), max_size=10),
)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path, tmp_path / "r")


@settings(deadline=None)
@given(several=st.lists(st.tuples(st.sampled_from("ABC"), wills), min_size=1, max_size=8))
def test_the_last_will_of_each_is_the_one_that_is_read(
    tmp_path_factory: pytest.TempPathFactory, several: list[tuple[str, Will]]
) -> None:
    folder = Folder(tmp_path_factory.mktemp("state"), Path("/none"))
    book, last = Wills(folder), dict(several)
    for agent, will in several:
        assert book.write(agent, will)
        assert book.read(agent) == will
    book.close()  # as the kernel does for one that is killed
    after = Wills(folder)
    assert read_wills(folder) == last
    assert {agent: after.read(agent) for agent in last} == last
    after.close()
    assert folder.wills.stat().st_size == 4096 * len(last)


def test_what_is_too_long_for_its_page_loses_lines_and_words_and_leaves_the_others(folder: Folder) -> None:
    book = Wills(folder)
    long = Will(wanted=True, digest="d", restarts=7, reason="x" * 5000, last_lines=["y" * 200] * 30)
    short = {"A": Will(wanted=True, digest="a"), "C": Will(wanted=False, digest="c")}
    for agent, will in {"A": short["A"], "B": long, "C": short["C"]}.items():
        assert book.write(agent, will)
    assert book.write("B", long)
    kept = book.read("B")
    assert kept is not None
    assert (kept.restarts, kept.last_lines, kept.reason) == (7, [], "x" * 2500)
    assert {agent: book.read(agent) for agent in short} == short
    book.close()


def test_a_page_that_a_full_disk_has_cut_is_nobodys_and_the_next_will_is_whole(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Wills(folder)
    assert book.write("A", Will(wanted=True, digest="a"))
    real = os.pwrite
    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", lambda file, data, at: real(file, data[:20], at))
        assert not book.write("B", Will(wanted=True, digest="b"))
    book.close()
    book = Wills(folder)
    assert book.read("B") is None
    assert book.write("B", Will(wanted=False, digest="b"))
    assert book.read("B") == Will(wanted=False, digest="b")
    assert book.read("A") == Will(wanted=True, digest="a")
    book.close()


def test_what_cannot_be_written_is_told_and_the_folder_may_come_back(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "gone", tmp_path / "r")
    book = Wills(folder)
    assert not book.write("A", Will(wanted=True, digest="d"))
    assert book.read("A") is None
    folder.state.mkdir()
    assert book.write("A", Will(wanted=True, digest="d"))
    assert book.read("A") == Will(wanted=True, digest="d")
    book.close()


def test_a_fleet_of_an_earlier_version_is_read_and_goes_over(folder: Folder) -> None:
    folder.will("A").parent.mkdir()
    folder.will("A").write_bytes(msgspec.json.encode(Will(wanted=False, digest="old", restarts=3)))
    book = Wills(folder)
    assert book.read("A") == Will(wanted=False, digest="old", restarts=3)
    assert book.write("A", Will(wanted=True, digest="new"))
    assert book.read("A") == Will(wanted=True, digest="new")
    book.close()


def _delete(folder: Folder) -> None:
    folder.wills.unlink()


def _replace(folder: Folder) -> None:
    beside = folder.state / "beside"
    beside.write_bytes(b"of another day")
    beside.rename(folder.wills)


@pytest.mark.parametrize("harm", [_delete, _replace])
@pytest.mark.parametrize("is_watched", [True, False])
def test_a_file_that_somebody_takes_away_is_put_back(
    folder: Folder, harm: Callable[[Folder], None], is_watched: bool
) -> None:
    will = Will(wanted=False, digest="d")

    async def test() -> None:
        book = Wills(folder)
        book.write("A", will)
        if is_watched:
            book.keep(asyncio.get_running_loop())
            folder.wills.chmod(0o640)  # is no harm, and ends no watch
            await asyncio.sleep(0)
        for name in "BC":
            harm(folder)
            if not is_watched:
                assert book.write(name, will)
            async with asyncio.timeout(30):
                while len(read_wills(folder)) != (1 if is_watched else "ABC".index(name) + 1):
                    await asyncio.sleep(0.01)
        assert all(each == will for each in read_wills(folder).values())
        book.close()

    folder.lock.touch()
    asyncio.run(test())


def test_nothing_is_put_back_into_a_folder_that_is_being_deleted(folder: Folder) -> None:
    book = Wills(folder)
    book.write("A", Will(wanted=True, digest="d"))
    folder.wills.unlink()  # as its lock
    assert book.write("A", Will(wanted=False, digest="d"))
    assert list(folder.state.iterdir()) == []
    folder.lock.touch()
    book.restore()
    assert not read_wills(folder)["A"].wanted
    book.close()
