"""An OCI layout of somebody else, as it is read: an index, manifests, configurations, blobs."""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypeVar

import msgspec

_REF_NAME: Final = "org.opencontainers.image.ref.name"
_INDEX_MEDIA_TYPES: Final = ("image.index.v1+json", "manifest.list.v2+json")


class OciPlatform(msgspec.Struct, frozen=True):
    """What an image is for."""

    architecture: str = "?"
    os: str = "?"


class OciDescriptor(msgspec.Struct, frozen=True, rename="camel"):
    """What an index or a manifest refers to."""

    media_type: str
    digest: str
    annotations: dict[str, str] | None = None
    platform: OciPlatform | None = None

    @property
    def name(self) -> str:
        """The image's name in a layout; empty when it has none."""
        return (self.annotations or {}).get(_REF_NAME, "")

    @property
    def is_index(self) -> bool:
        return self.media_type.endswith(_INDEX_MEDIA_TYPES)


class OciIndex(msgspec.Struct, frozen=True):
    """What is in a layout, or an image for several platforms."""

    manifests: tuple[OciDescriptor, ...]


class OciManifest(msgspec.Struct, frozen=True):
    """One image: a configuration, and layers from the bottom up."""

    config: OciDescriptor
    layers: tuple[OciDescriptor, ...]


class OciProcess(msgspec.Struct, frozen=True, rename="pascal"):
    """What a container of an image runs with."""

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
        return {name: value for name, _, value in (word.partition("=") for word in entries)}


_Document = TypeVar("_Document", OciIndex, OciManifest, OciImageConfig)


def read_index(folder: Path) -> OciIndex:
    """Return what a layout has; raises OSError or msgspec.MsgspecError when it is none."""
    return msgspec.json.decode((folder / "index.json").read_bytes(), type=OciIndex)


def read_document(folder: Path, digest: str, kind: type[_Document]) -> _Document:
    """Return what a digest refers to; raises OSError or msgspec.MsgspecError when the layout is not whole."""
    return msgspec.json.decode(blob_path(folder, digest).read_bytes(), type=kind)


def blob_path(folder: Path, digest: str) -> Path:
    """Return where a layout has a blob."""
    return folder / "blobs" / "sha256" / digest.removeprefix("sha256:")
