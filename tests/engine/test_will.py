"""Wills: what is written is read again, longer or shorter than before, and never half of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.engine.state import State
from argosy.engine.will import Will, read_will, write_will

wills = st.builds(
    Will,
    wanted=st.booleans(),
    digest=st.text(max_size=40),
    restarts=st.integers(0, 10**6),
    ready_s=st.none() | st.floats(0, 2e9),
    reason=st.text(max_size=300),
    state=st.sampled_from(State),
    last_lines=st.lists(st.text(max_size=200), max_size=10),
)


@settings(deadline=None)
@given(several=st.lists(wills, min_size=1, max_size=4))
def test_the_last_will_is_the_one_that_is_read(
    tmp_path_factory: pytest.TempPathFactory, several: list[Will]
) -> None:
    path = tmp_path_factory.mktemp("will") / "A"
    for will in several:
        assert write_will(path, will)
        assert read_will(path) == will
    assert os.listdir(path.parent) == ["A"]


def test_a_will_is_written_over_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "A"
    assert write_will(path, Will(wanted=True, digest="d", reason="long " * 50))
    before = path.stat()
    assert write_will(path, Will(wanted=False, digest="d"))
    assert (path.stat().st_ino, path.stat().st_size) == (before.st_ino, before.st_size)
    assert read_will(path) == Will(wanted=False, digest="d")


def test_one_that_fills_more_than_a_page_is_another_file(tmp_path: Path) -> None:
    path = tmp_path / "A"
    short, long = Will(wanted=True, digest="d"), Will(wanted=True, digest="d", reason="x" * 5000)
    for will in (short, long, short):
        before = path.stat().st_ino if path.exists() else None
        held = os.open(path, os.O_RDONLY) if before else None  # so that the number is not given out again
        assert write_will(path, will)
        assert path.stat().st_ino != before
        assert read_will(path) == will
        if held is not None:
            os.close(held)


def test_what_cannot_be_written_is_told_and_leaves_the_old_one(tmp_path: Path) -> None:
    assert not write_will(tmp_path / "gone" / "A", Will(wanted=True, digest="d"))
    path = tmp_path / "A"
    path.write_bytes(b"")  # as a full disk has left it
    assert write_will(path, Will(wanted=True, digest="d"))
    assert read_will(path) == Will(wanted=True, digest="d")
