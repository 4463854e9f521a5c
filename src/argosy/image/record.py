"""What was built last: digests, sizes read from the images, and what their proofs found."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from argosy.image.build import Built
from argosy.image.proof import Proof
from argosy.image.whole import write_whole

FOLDER: Final = Path(".argosy") / "images"
FILE: Final = "images.json"


class Entry(msgspec.Struct, frozen=True):
    """One image that was built.

    proof: None when it was not run, and then it has no name in the layout. layer_bytes: what each of the
    layers takes unpacked, in their order.
    """

    digest: str
    agents: tuple[str, ...]
    unpacked_bytes: int
    stored_bytes: int
    layers: tuple[str, ...]
    proof: Proof | None
    layer_bytes: tuple[int, ...] = ()


class Record(msgspec.Struct, frozen=True):
    """All images of a layout. shared_bytes: what all blobs take together, each counted once."""

    images: dict[str, Entry] = {}
    shared_bytes: int = 0


def read_record(root: Path) -> Record:
    """Return what was built from a tree; empty when nothing was."""
    return _read(root / FOLDER)


def _read(folder: Path) -> Record:
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Record)
    except (OSError, msgspec.MsgspecError):
        return Record()


def write_record(folder: Path, built: Iterable[Built], proofs: dict[str, Proof]) -> Record:
    """Write down what a layout holds now: what was built, and what was there and was not built again."""
    entries = dict(_read(folder).images)
    for item in built:
        entries[item.image.name] = Entry(
            digest=item.manifest.digest,
            agents=item.image.agents,
            unpacked_bytes=item.unpacked_bytes,
            stored_bytes=item.stored_bytes,
            layers=tuple(layer.digest for layer in item.layers),
            proof=proofs.get(item.image.name),
            layer_bytes=tuple(layer.unpacked_bytes for layer in item.layers),
        )
    stored = sum(path.stat().st_size for path in (folder / "blobs" / "sha256").iterdir())
    record = Record(entries, stored)
    write_whole(folder / FILE, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
    return record
