"""What a proof does before it runs an image: its layers are unpacked."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from argosy.fleet import load_fleet
from argosy.image.blobs import Entry, Store
from argosy.image.containers import lay_out
from argosy.image.plan import plan_images
from argosy.image.proof import Prover
from rig.needs import needs

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "mainpc-pc2" / "fleet.yaml"


@needs("unshare", "setpriv", "nsenter")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can prove an image")
def test_a_layer_is_unpacked_where_tarfile_knows_no_filter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tarfile.TarFile.extractall

    def as_before_3_11_4(archive: tarfile.TarFile, path: str) -> None:
        whole(archive, path)

    monkeypatch.setattr(tarfile.TarFile, "extractall", as_before_3_11_4)
    store = Store(tmp_path / "store")
    entries = [Entry("a/b", "file", data=b"b", mode=0o640), Entry("l", "link", target="/outside")]
    layer = store.layer("key", lambda _: entries)
    prover = Prover(store, tmp_path, lay_out(plan_images(load_fleet(EXAMPLE))))
    folder = prover.unpacked(layer)
    assert (folder / "a/b").read_bytes() == b"b"
    assert (folder / "a/b").stat().st_mode & 0o777 == 0o640
    assert os.readlink(folder / "l") == "/outside"
