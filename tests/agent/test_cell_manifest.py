"""Rolls and calls: what is written is read again, and what is none is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.agent.cell_manifest import (
    CellManifest,
    CellMemberSpec,
    MembersUpdate,
    decode_members_update,
    encode_members_update,
    read_cell_manifest,
    write_cell_manifest,
)
from argosy.fault import InputError, MissingError

names = st.text(min_size=1, max_size=20)
rolls = st.builds(
    CellManifest,
    cell=names,
    socket=names,
    notify=names,
    members=st.dictionaries(
        names, st.builds(CellMemberSpec, run=names, args=st.tuples(names), notify=names), max_size=4
    ),
)


@given(roll=rolls)
def test_a_roll_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, roll: CellManifest
) -> None:
    path = tmp_path_factory.mktemp("roll") / "one"
    write_cell_manifest(path, CellManifest("", "", "", {}))
    write_cell_manifest(path, roll)
    assert read_cell_manifest(path) == roll
    assert os.listdir(path.parent) == ["one"]


@given(alive=st.lists(names, max_size=30))
def test_a_call_is_read_as_it_was_sent(alive: list[str]) -> None:
    assert decode_members_update(encode_members_update(MembersUpdate(tuple(alive)))) == MembersUpdate(
        tuple(alive)
    )


@given(data=st.binary(max_size=60))
def test_what_is_no_call_is_none(data: bytes) -> None:
    found = decode_members_update(data)
    assert found is None or decode_members_update(encode_members_update(found)) == found


def test_a_roll_that_is_not_there_and_one_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="the manifest of the cell cannot be read"):
        read_cell_manifest(tmp_path / "none")
    (tmp_path / "bad").write_text('{"cell": 1}')
    with pytest.raises(InputError, match="this is not the manifest of a cell"):
        read_cell_manifest(tmp_path / "bad")
