"""A fleet with a layout of small images, and the verb that pushes them."""

from __future__ import annotations

import base64
import json
import random
from pathlib import Path

from argosy.cli import main
from argosy.image.build.image_builder import BuiltImage, write_layout
from argosy.image.content.blob_store import CONFIG_TYPE, MANIFEST_TYPE, Blob, BlobStore
from argosy.image.plan.image_plan import Image

_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
_FLEET = "fleet: yard\nagents:\n  Light: {run: light.py, group: light}\n"


def write_image_fleet(folder: Path) -> Path:
    """Write a fleet with a layout of two images that share a layer, and one that failed its proof."""
    folder.mkdir()
    (folder / "fleet.yaml").write_text(_FLEET)
    (folder / "light.py").write_text("")
    store, built = build_image_fleet(folder.parent / "store")
    write_layout(folder / ".argosy" / "images", store, built, ["light", "heavy"], "v1")
    return folder


def build_image_fleet(folder: Path) -> tuple[BlobStore, list[BuiltImage]]:
    """Return a store with three images: of 2 MiB, of 7 MiB, and of 1 MiB that all share."""
    store = BlobStore(folder)
    chance = random.Random(7)
    shared, own, large = (
        store.add_blob(chance.randbytes(size), _LAYER_TYPE) for size in (2**20, 2**20, 6 * 2**20)
    )
    return store, [
        _built(store, "light", (shared, own)),
        _built(store, "heavy", (shared, large)),
        _built(store, "broken", (shared,)),
    ]


def _built(store: BlobStore, name: str, layers: tuple[Blob, ...]) -> BuiltImage:
    image = Image(name, "yard", None, ("Light",), (), (), None, ())
    config = store.add_blob(
        json.dumps({"architecture": "amd64", "os": "linux", "name": name}).encode(), CONFIG_TYPE
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": config.descriptor(),
        "layers": [layer.descriptor() for layer in layers],
    }
    data = json.dumps(manifest, separators=(",", ":")).encode()
    return BuiltImage(image, store.add_blob(data, MANIFEST_TYPE), layers, b"")


def push(tree: Path, *words: str) -> int:
    """Run `argosy image push`; return its exit code."""
    return main(["image", "push", "--fleet", str(tree), *words])


def manifests(tree: Path) -> dict[str, str]:
    """Return the digests of the images of a layout."""
    index = json.loads((tree / ".argosy" / "images" / "index.json").read_text())
    return {item["annotations"]["argosy.image"]: item["digest"] for item in index["manifests"]}


def log_in(home: Path, host: str, user: str, password: str) -> None:
    """Leave what `docker login` does."""
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    write_login(home, host, {"auth": auth})


def write_login(home: Path, host: str, login: dict[str, str]) -> None:
    """Leave an entry of docker's file."""
    (home / ".docker").mkdir(exist_ok=True)
    (home / ".docker" / "config.json").write_text(json.dumps({"auths": {host: login}}))
