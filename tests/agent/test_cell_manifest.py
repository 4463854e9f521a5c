"""Cell manifests and members updates: round trips, and errors for other content."""

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
cell_manifests = st.builds(
    CellManifest,
    cell=names,
    socket=names,
    notify=names,
    members=st.dictionaries(
        names, st.builds(CellMemberSpec, run=names, args=st.tuples(names), notify=names), max_size=4
    ),
)


@given(original=cell_manifests)
def test_cell_manifest_round_trips(tmp_path_factory: pytest.TempPathFactory, original: CellManifest) -> None:
    path = tmp_path_factory.mktemp("original") / "one"
    write_cell_manifest(path, CellManifest("", "", "", {}))
    write_cell_manifest(path, original)
    assert read_cell_manifest(path) == original
    assert os.listdir(path.parent) == ["one"]


@given(alive=st.lists(names, max_size=30))
def test_members_update_round_trips(alive: list[str]) -> None:
    assert decode_members_update(encode_members_update(MembersUpdate(tuple(alive)))) == MembersUpdate(
        tuple(alive)
    )


@given(data=st.binary(max_size=60))
def test_members_update_decoder_returns_none_for_garbage(data: bytes) -> None:
    found = decode_members_update(data)
    assert found is None or decode_members_update(encode_members_update(found)) == found


def test_read_cell_manifest_reports_missing_and_invalid_file(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="the manifest of the cell cannot be read"):
        read_cell_manifest(tmp_path / "none")
    (tmp_path / "bad").write_text('{"cell": 1}')
    with pytest.raises(InputError, match="this is not the manifest of a cell"):
        read_cell_manifest(tmp_path / "bad")
