"""The record of the images of a layout: digests, measured sizes, and results of their smoke tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from argosy.image.build.image_builder import BuiltImage
from argosy.image.build.smoke_test import SmokeTestResult
from argosy.image.content.staging import write_atomic

LAYOUT_FOLDER: Final = Path(".argosy") / "images"
RECORD_FILE: Final = "images.json"


class BuiltImageEntry(msgspec.Struct, frozen=True):
    """One image that was built.

    smoke_test: None when it was not run; the image then has no name in the layout. layer_bytes: the unpacked
    size of each layer, in the order of `layers`.
    """

    digest: str
    agents: tuple[str, ...]
    unpacked_bytes: int
    stored_bytes: int
    layers: tuple[str, ...]
    smoke_test: SmokeTestResult | None
    layer_bytes: tuple[int, ...] = ()


class BuildRecord(msgspec.Struct, frozen=True):
    """All images of a layout. shared_bytes: the size of all blobs together, each counted once."""

    images: dict[str, BuiltImageEntry] = {}
    shared_bytes: int = 0


def read_build_record(root: Path) -> BuildRecord:
    """Return the record of the images that were built from a tree; empty when there are none."""
    return _read_record(root / LAYOUT_FOLDER)


def _read_record(folder: Path) -> BuildRecord:
    try:
        value = msgspec.json.decode((folder / RECORD_FILE).read_bytes(), type=dict[str, Any])
        _rename_old_keys(value)
        return msgspec.convert(value, BuildRecord)
    except (OSError, msgspec.MsgspecError):
        return BuildRecord()


def _rename_old_keys(value: dict[str, Any]) -> None:
    """Give the entries of older records, which have `proof` with a `way`, the current keys."""
    images = value.get("images")
    for entry in images.values() if isinstance(images, dict) else ():
        if isinstance(entry, dict) and "proof" in entry:
            result = entry["smoke_test"] = entry.pop("proof")
            if isinstance(result, dict) and "way" in result:
                result["method"] = result.pop("way")


def write_build_record(
    folder: Path, built: Iterable[BuiltImage], smoke_tests: dict[str, SmokeTestResult]
) -> BuildRecord:
    """Write the record of a layout: the images built now, and the earlier ones that were not built again."""
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
