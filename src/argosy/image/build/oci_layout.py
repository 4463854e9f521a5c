"""OCI layouts as data: index, manifests, configurations and blobs."""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypeVar

import msgspec

REF_NAME: Final = "org.opencontainers.image.ref.name"
_INDEX_MEDIA_TYPES: Final = ("image.index.v1+json", "manifest.list.v2+json")


class OciPlatform(msgspec.Struct, frozen=True):
    """The platform of an image."""

    architecture: str = "?"
    os: str = "?"


class OciDescriptor(msgspec.Struct, frozen=True, rename="camel"):
    """A reference to a blob in an index or a manifest."""

    media_type: str
    digest: str
    annotations: dict[str, str] | None = None
    platform: OciPlatform | None = None

    @property
    def name(self) -> str:
        """The image's name in a layout; empty when it has none."""
        return (self.annotations or {}).get(REF_NAME, "")

    @property
    def is_index(self) -> bool:
        return self.media_type.endswith(_INDEX_MEDIA_TYPES)


class OciIndex(msgspec.Struct, frozen=True):
    """The index of a layout or of a multi-platform image."""

    manifests: tuple[OciDescriptor, ...]


class OciManifest(msgspec.Struct, frozen=True):
    """The manifest of an image: its configuration, and its layers from the base up."""

    config: OciDescriptor
    layers: tuple[OciDescriptor, ...]

    @property
    def blob_digests(self) -> tuple[str, ...]:
        """The digests of its layers, then that of its configuration."""
        return (*(layer.digest for layer in self.layers), self.config.digest)


class OciProcess(msgspec.Struct, frozen=True, rename="pascal"):
    """The process settings of an image's containers."""

    env: tuple[str, ...] | None = None


class OciRootfs(msgspec.Struct, frozen=True):
    """The digests of an image's unpacked layers."""

    diff_ids: tuple[str, ...]


class OciImageConfig(msgspec.Struct, frozen=True):
    """The configuration of an image."""

    rootfs: OciRootfs
    architecture: str = "?"
    os: str = "?"
    config: OciProcess | None = None

    @property
    def variables(self) -> dict[str, str]:
        entries = (self.config or OciProcess()).env or ()
        return {name: value for name, _, value in (entry.partition("=") for entry in entries)}


_Document = TypeVar("_Document", OciIndex, OciManifest, OciImageConfig)


def read_index(folder: Path) -> OciIndex:
    """Return the index of a layout; raises OSError or msgspec.MsgspecError when it is not a layout."""
    return msgspec.json.decode((folder / "index.json").read_bytes(), type=OciIndex)


def read_document(folder: Path, digest: str, kind: type[_Document]) -> _Document:
    """Return the document of a digest; raises OSError or msgspec.MsgspecError for an incomplete layout."""
    return msgspec.json.decode(blob_path(folder, digest).read_bytes(), type=kind)


def blob_path(folder: Path, digest: str) -> Path:
    """Return the path of a blob in a layout."""
    return folder / "blobs" / "sha256" / digest.removeprefix("sha256:")
