"""What was built last: digests, sizes read from the images, and what their proofs found."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from argosy.image.build.image_builder import BuiltImage
from argosy.image.build.smoke_test import SmokeTestResult
from argosy.image.build.staging import write_atomic

LAYOUT_FOLDER: Final = Path(".argosy") / "images"
RECORD_FILE: Final = "images.json"


class BuiltImageEntry(msgspec.Struct, frozen=True):
    """One image that was built.

    proof: None when it was not run, and then it has no name in the layout. layer_bytes: what each of the
    layers takes unpacked, in their order.
    """

    digest: str
    agents: tuple[str, ...]
    unpacked_bytes: int
    stored_bytes: int
    layers: tuple[str, ...]
    smoke_test: SmokeTestResult | None
    layer_bytes: tuple[int, ...] = ()


class BuildRecord(msgspec.Struct, frozen=True):
    """All images of a layout. shared_bytes: what all blobs take together, each counted once."""

    images: dict[str, BuiltImageEntry] = {}
    shared_bytes: int = 0


def read_build_record(root: Path) -> BuildRecord:
    """Return what was built from a tree; empty when nothing was."""
    return _read_record(root / LAYOUT_FOLDER)


def _read_record(folder: Path) -> BuildRecord:
    try:
        return msgspec.json.decode((folder / RECORD_FILE).read_bytes(), type=BuildRecord)
    except (OSError, msgspec.MsgspecError):
        return BuildRecord()


def write_build_record(
    folder: Path, built: Iterable[BuiltImage], smoke_tests: dict[str, SmokeTestResult]
) -> BuildRecord:
    """Write down what a layout holds now: what was built, and what was there and was not built again."""
    entries = dict(_read_record(folder).images)
    for item in built:
        entries[item.image.name] = BuiltImageEntry(
            digest=item.manifest.digest,
            agents=item.image.agents,
            unpacked_bytes=item.unpacked_bytes,
            stored_bytes=item.stored_bytes,
            layers=tuple(layer.digest for layer in item.layers),
            smoke_test=smoke_tests.get(item.image.name),
            layer_bytes=tuple(layer.unpacked_bytes for layer in item.layers),
        )
    shared_bytes = sum(path.stat().st_size for path in (folder / "blobs" / "sha256").iterdir())
    record = BuildRecord(entries, shared_bytes)
    write_atomic(folder / RECORD_FILE, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
    return record
