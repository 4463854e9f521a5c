"""Base image: a suitable Python and architecture are detected, others are refused by name."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.cli import main
from argosy.fault import InputError
from argosy.image.build.base_image import LayerTree, base_image_entries, read_base_image
from argosy.image.content.blob_store import (
    CONFIG_TYPE,
    INDEX_TYPE,
    MANIFEST_TYPE,
    BlobStore,
    LayerEntry,
    pack_layer,
)

_PYTHON = (
    LayerEntry("usr/bin/python3", "link", target="python3.13", mode=0o777),
    LayerEntry("usr/bin/python3.13", "file", data=b"\x7fELF", mode=0o755),
    LayerEntry("usr/lib/python3.13/os.py", "file"),
    LayerEntry("usr/lib64/ld-linux-x86-64.so.2", "file"),
)
_OWN = (
    LayerEntry("usr/local/bin/python3", "link", target="python3.13", mode=0o777),
    LayerEntry("usr/local/bin/python3.13", "file", data=b"\x7fELF", mode=0o755),
    LayerEntry("usr/local/lib/python3.13/os.py", "file"),
)


def write(
    folder: Path, *layers: tuple[LayerEntry, ...], architecture: str = "amd64", name: str = "base:1"
) -> Path:
    """Write an OCI layout with one image, or add one to it."""
    store = BlobStore(folder / "store", "gzip")
    made = [store.get_or_build_layer(repr(layer), lambda _, layer=layer: layer) for layer in layers]
    value = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Env": ["PATH=/usr/local/bin:/usr/bin", "CUDA_HOME=/usr/local/cuda"]},
        "rootfs": {"type": "layers", "diff_ids": [each.diff_id for each in made]},
    }
    config = store.add_blob(json.dumps(value).encode(), CONFIG_TYPE)
    manifest = store.add_blob(
        json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "config": config.descriptor(),
                "layers": [each.descriptor() for each in made],
            }
        ).encode(),
        MANIFEST_TYPE,
    )
    annotations = {"org.opencontainers.image.ref.name": name}
    _index(folder, [{**manifest.descriptor(), "annotations": annotations}])
    return folder


def _index(folder: Path, items: list[dict[str, Any]]) -> None:
    path = folder / "store" / "index.json"
    known = json.loads(path.read_text())["manifests"] if path.exists() else []
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [*known, *items]}
    path.write_text(json.dumps(index))


def refusal(text: str, store: Path) -> tuple[str, str]:
    with pytest.raises(InputError) as caught:
        read_base_image(text, BlobStore(store))
    (fault,) = caught.value.faults
    return fault.code, fault.message


def test_read_base_image_keeps_layers_and_variables(tmp_path: Path) -> None:
    folder = (
        write(tmp_path, _PYTHON, (LayerEntry("etc/passwd", "file", data=b"root:x:0:0::/:/bin/sh\n"),))
        / "store"
    )
    target = BlobStore(tmp_path / "target")
    base = read_base_image(str(folder), target)
    assert base.site_packages == "usr/local/lib/python3.13/dist-packages"
    assert base.variables["CUDA_HOME"] == "/usr/local/cuda"
    assert len(base.layers) == 2
    for layer in base.layers:
        held = target.path_of(layer.digest)
        assert held.read_bytes() == (folder / "blobs" / "sha256" / layer.digest[7:]).read_bytes()
        assert layer.media_type.endswith("tar+gzip")
    entries = {entry.path: entry for entry in base_image_entries(base)}
    assert entries["etc/passwd"].data.startswith(b"root:x:0:0::/:/bin/sh\nargosy:x:10001:10001:")
    assert {"etc/hosts", "state", "run/argosy", "app"} <= entries.keys()
    assert read_base_image(f"{folder}:base:1", target) == msgspec.structs.replace(base, name="base:1")


def test_read_base_image_finds_site_packages_of_local_python(tmp_path: Path) -> None:
    loader = (LayerEntry("usr/lib64/ld-linux-x86-64.so.2", "file"),)
    folder = write(tmp_path, loader, _OWN) / "store"
    assert (
        read_base_image(str(folder), BlobStore(tmp_path / "target")).site_packages
        == "usr/local/lib/python3.13/site-packages"
    )


@pytest.mark.parametrize(
    ("layers", "code", "said"),
    [
        ((_PYTHON[3:],), "base-python", "has no Python"),
        ((_PYTHON, (LayerEntry("usr/bin/.wh.python3.13", "file"),)), "base-python", "has no Python"),
        ((_PYTHON, (LayerEntry("usr/.wh..wh..opq", "file"),)), "base-python", "has no Python"),
        (
            (
                *(_PYTHON[1:],),
                (
                    LayerEntry("usr/bin/python3", "link", target="/usr/bin/python3.12"),
                    LayerEntry("usr/bin/python3.12", "file"),
                ),
            ),
            "base-python",
            "has Python 3.12, the lock is for Python 3.13",
        ),
        ((_PYTHON[:2],), "base-python", "has no standard library in `/usr/lib/python3.13`"),
        ((_PYTHON[:3],), "base-libc", "has no `ld-linux-x86-64.so.2`"),
    ],
)
def test_base_image_with_unsuitable_python_is_refused(
    tmp_path: Path, layers: tuple[tuple[LayerEntry, ...], ...], code: str, said: str
) -> None:
    folder = write(tmp_path, *layers) / "store"
    found, message = refusal(str(folder), tmp_path / "target")
    assert found == code
    assert said in message


def test_base_image_of_other_architecture_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, _PYTHON, architecture="arm64") / "store"
    assert refusal(str(folder), tmp_path / "target") == (
        "base-architecture",
        f"`{folder}` is for linux/arm64, expected linux/amd64",
    )


def test_read_base_image_selects_matching_platform(tmp_path: Path) -> None:
    folder = write(tmp_path, _PYTHON) / "store"
    (item,) = json.loads((folder / "index.json").read_text())["manifests"]
    store = BlobStore(folder)
    inner = [{**item, "platform": {"os": "linux", "architecture": "amd64"}}]
    inner.append({**item, "digest": "sha256:00", "platform": {"os": "linux", "architecture": "arm64"}})
    for manifests, code in ((inner, ""), (inner[1:], "base-architecture")):
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests}
        (folder / "index.json").write_text('{"manifests": []}')
        _index(tmp_path, [store.add_blob(json.dumps(index).encode(), INDEX_TYPE).descriptor()])
        if code:
            assert refusal(str(folder), tmp_path / "target")[0] == code
        else:
            assert read_base_image(str(folder), BlobStore(tmp_path / "target")).digest == item["digest"]


def test_missing_damaged_or_ambiguous_base_layout_is_refused(tmp_path: Path) -> None:
    assert refusal(str(tmp_path / "nowhere"), tmp_path / "target")[0] == "base-layout"
    folder = write(tmp_path, _PYTHON) / "store"
    write(tmp_path, _PYTHON, _OWN, name="base:2")
    assert refusal(str(folder), tmp_path / "target") == (
        "base-name",
        f"`{folder}` matches 2 images, expected one",
    )
    assert refusal(f"{folder}:base:3", tmp_path / "target")[0] == "base-name"
    base = read_base_image(f"{folder}:base:1", BlobStore(tmp_path / "target"))
    path = folder / "blobs" / "sha256" / base.layers[0].digest[7:]
    path.write_bytes(path.read_bytes() + b"\0")
    code, message = refusal(f"{folder}:base:1", tmp_path / "other")
    assert (code, message.endswith("does not match its bytes")) == ("base-layout", True)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("index.json", lambda _: [], "is not an OCI layout: Expected `object`, got `array`"),
        ("index.json", lambda _: {"manifests": [{}]}, "missing required field `mediaType`"),
        ("manifest", lambda value: {"layers": value["layers"]}, "missing required field `config`"),
        ("manifest", lambda value: {**value, "layers": []}, "damaged: 0 layers, and 1 in its configuration"),
        ("manifest", lambda value: {**value, "layers": [value["config"]]}, "does not match its bytes"),
    ],
)
def test_malformed_base_layout_is_refused_with_reason(
    tmp_path: Path, name: str, change: Callable[[Any], Any], said: str
) -> None:
    folder = write(tmp_path, _PYTHON) / "store"
    path = folder / name
    if name == "manifest":
        (item,) = json.loads((folder / "index.json").read_text())["manifests"]
        path = folder / "blobs" / "sha256" / item["digest"].removeprefix("sha256:")
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    code, message = refusal(str(folder), tmp_path / "target")
    assert code == "base-layout"
    assert said in message


def test_build_stops_on_wrong_base_before_it_writes_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = write(tmp_path, _PYTHON, architecture="arm64") / "store"
    (tmp_path / "fleet.yaml").write_text("fleet: yard\nagents:\n  A: {run: a.py}\n")
    (tmp_path / "a.py").write_text("")
    words = ["image", "build", "--fleet", str(tmp_path), "--no-proof", "--base", str(folder)]
    assert main(words) == 2
    assert "expected linux/amd64" in capsys.readouterr().err
    assert not (tmp_path / ".argosy").exists()
    assert not (tmp_path / "images.lock").exists()


_NAMES = st.sampled_from(["usr", "bin", "lib", "python3", "python3.13", "..", ".", ""])


@given(
    st.lists(st.tuples(st.lists(_NAMES, min_size=1, max_size=4), st.lists(_NAMES, max_size=4)), max_size=8)
)
def test_layer_tree_resolves_any_links_without_endless_loop(links: list[tuple[list[str], list[str]]]) -> None:
    tree = LayerTree()
    entries = {
        posixpath.normpath("/" + "/".join(path))[1:]: LayerEntry(
            posixpath.normpath("/" + "/".join(path))[1:], "link", target="/".join(target) or "x"
        )
        for path, target in links
    }
    entries.pop("", None)
    whole = [entry for path, entry in entries.items() if not any(o.startswith(f"{path}/") for o in entries)]
    tree.add_layer(pack_layer(whole)[0])
    for path in ("usr/bin/python3", "bin/python3", "usr"):
        found = tree.resolve(path)
        assert found is None or tree.links[found] is None
