"""Layers: the same bytes for the same content, on any machine and at any time."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.image.content.blob_store import (
    BlobStore,
    LayerEntry,
    compress,
    decompress,
    entries_in,
    pack_layer,
)

_NAMES = st.text("abcÄ_.-", min_size=1, max_size=40).filter(lambda name: name not in (".", ".."))
_PATHS = st.lists(_NAMES, min_size=1, max_size=6).map("/".join)


@given(st.dictionaries(_PATHS, st.binary(max_size=50), max_size=8), st.randoms())
def test_pack_layer_is_independent_of_entry_order(files: dict[str, bytes], chance: object) -> None:
    folders = {path.rpartition("/")[0] for path in files}
    while any(folders):
        folders |= {path.rpartition("/")[0] for path in folders}
        files = {path: data for path, data in files.items() if path not in folders}
        if "" in folders and all(path.rpartition("/")[0] in folders for path in folders):
            break
    entries = [LayerEntry(path, "file", data=data) for path, data in files.items()]
    packed, size = pack_layer(entries)
    assert pack_layer(reversed(entries)) == (packed, size)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        found = {}
        for member in archive:
            assert (member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "")
            if member.isfile():
                held = archive.extractfile(member)
                assert held is not None
                found[member.name] = held.read()
    assert found == files
    assert size == sum(map(len, files.values()))


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_compress_is_deterministic_and_reversible(compression: str) -> None:
    data = os.urandom(1000) * 20
    assert compress(data, compression) == compress(data, compression)  # type: ignore[arg-type]
    assert decompress(compress(data, compression)) == data  # type: ignore[arg-type]


def test_layer_of_dir_is_independent_of_location_and_time(tmp_path: Path) -> None:
    made = []
    for name, time_s in (("here", 1), ("there", 10**9)):
        folder = tmp_path / name
        (folder / "a").mkdir(parents=True)
        (folder / "a" / "run").write_text("x")
        (folder / "a" / "run").chmod(0o711 if name == "here" else 0o755)
        (folder / "b").symlink_to("a/run")
        os.utime(folder / "a" / "run", (time_s, time_s))
        made.append(
            BlobStore(tmp_path / f"store-{name}").get_or_build_layer("key", lambda _, f=folder: entries_in(f))
        )  # type: ignore[misc]
    assert made[0] == made[1]


def test_blob_store_rebuilds_layer_only_when_blob_is_lost(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    asked = []

    def entries(_: Path) -> list[LayerEntry]:
        asked.append(1)
        return [LayerEntry("a", "file", data=b"a")]

    first = store.get_or_build_layer("key", entries)
    assert store.get_or_build_layer("key", entries) == first
    assert len(asked) == 1
    store.path_of(first.digest).unlink()
    assert store.get_or_build_layer("key", entries) == first
    assert len(asked) == 2
    assert store.path_of(first.digest).exists()
