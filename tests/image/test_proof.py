"""Layers on the disk: what a layer of somebody else may not do."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from argosy.fault import RefusedError
from argosy.image.proof import stay_inside


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
def test_a_layer_is_not_written_outside_of_its_folder(
    members: list[tuple[str, bytes, str]], tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("x")
    target = tmp_path / "one" / "layer"
    with layer(*members) as archive, pytest.raises(RefusedError, match="outside of the layer"):
        archive.extractall(target, filter=stay_inside)
    assert not list(tmp_path.rglob("out"))


def test_links_and_modes_of_a_layer_stay_as_they_are(tmp_path: Path) -> None:
    members = [("usr/bin/sh", tarfile.REGTYPE, ""), ("bin", tarfile.SYMTYPE, "usr/bin")]
    members += [("bin/su", tarfile.REGTYPE, ""), ("etc/mtab", tarfile.SYMTYPE, "/proc/mounts")]
    with layer(*members) as archive:
        archive.extractall(tmp_path, filter=stay_inside)
    assert (tmp_path / "usr/bin/su").stat().st_mode & 0o7777 == 0o4755
    assert (tmp_path / "etc/mtab").readlink() == Path("/proc/mounts")
