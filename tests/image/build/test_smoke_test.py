"""Unpacked layers: same on every Python version, and never outside the target dir."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from argosy.fault import RefusedError
from argosy.fleet import load_fleet
from argosy.image.build.smoke_test import SmokeTester, unpack_layer
from argosy.image.content.blob_store import BlobStore, LayerEntry
from argosy.image.plan.container_plan import plan_containers
from argosy.image.plan.image_plan import plan_images
from rig.needs import needs


def layer(*members: tuple[str, bytes, str]) -> tarfile.TarFile:
    """Return a layer of (name, kind, where a link points to)."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for name, kind, link in members:
            made = tarfile.TarInfo(name)
            made.type, made.linkname, made.mode = kind, link, 0o4755
            archive.addfile(made)
    plain.seek(0)
    return tarfile.open(fileobj=plain)


@pytest.mark.parametrize(
    "members",
    [
        [("../out", tarfile.REGTYPE, "")],
        [("a/../../out", tarfile.REGTYPE, "")],
        [("a", tarfile.SYMTYPE, "../.."), ("a/out", tarfile.REGTYPE, "")],
        [("a", tarfile.SYMTYPE, "/tmp"), ("a/out", tarfile.REGTYPE, "")],
        [("a", tarfile.LNKTYPE, "../../secret")],
    ],
)
def test_unpack_layer_refuses_paths_outside_target_dir(
    members: list[tuple[str, bytes, str]], tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("x")
    target = tmp_path / "one" / "layer"
    with layer(*members) as archive, pytest.raises(RefusedError, match="outside of the layer"):
        unpack_layer(archive, target)
    assert not list(tmp_path.rglob("out"))


def test_unpack_layer_keeps_links_and_modes(tmp_path: Path) -> None:
    members = [("usr/bin/sh", tarfile.REGTYPE, ""), ("bin", tarfile.SYMTYPE, "usr/bin")]
    members += [("bin/su", tarfile.REGTYPE, ""), ("etc/mtab", tarfile.SYMTYPE, "/proc/mounts")]
    with layer(*members) as archive:
        unpack_layer(archive, tmp_path)
    assert (tmp_path / "usr/bin/su").stat().st_mode & 0o7777 == 0o4755
    assert (tmp_path / "etc/mtab").readlink() == Path("/proc/mounts")


EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "mainpc-pc2" / "fleet.yaml"


@needs("unshare", "setpriv", "nsenter")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can prove an image")
def test_smoke_tester_unpacks_layer_without_tarfile_filter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tarfile.TarFile.extractall

    def as_before_3_11_4(
        archive: tarfile.TarFile, path: str, members: Iterable[tarfile.TarInfo] | None = None
    ) -> None:
        whole(archive, path, members)

    monkeypatch.setattr(tarfile.TarFile, "extractall", as_before_3_11_4)
    store = BlobStore(tmp_path / "store")
    entries = [LayerEntry("a/b", "file", data=b"b", mode=0o640), LayerEntry("l", "link", target="/outside")]
    layer = store.get_or_build_layer("key", lambda _: entries)
    tester = SmokeTester(store, tmp_path, plan_containers(plan_images(load_fleet(EXAMPLE))))
    folder = tester.unpack_blob(layer)
    assert (folder / "a/b").read_bytes() == b"b"
    assert (folder / "a/b").stat().st_mode & 0o777 == 0o640
    assert os.readlink(folder / "l") == "/outside"
