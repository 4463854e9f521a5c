"""An OCI layout of somebody else, as it is read: an index, manifests, configurations, blobs."""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypeVar

import msgspec

_REF_NAME: Final = "org.opencontainers.image.ref.name"
_INDEXES: Final = ("image.index.v1+json", "manifest.list.v2+json")


class Platform(msgspec.Struct, frozen=True):
    """What an image is for."""

    architecture: str = "?"
    os: str = "?"


class Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    """What an index or a manifest refers to."""

    media_type: str
    digest: str
    annotations: dict[str, str] | None = None
    platform: Platform | None = None

    @property
    def name(self) -> str:
        """The image's name in a layout; empty when it has none."""
        return (self.annotations or {}).get(_REF_NAME, "")

    @property
    def is_index(self) -> bool:
        return self.media_type.endswith(_INDEXES)


class Index(msgspec.Struct, frozen=True):
    """What is in a layout, or an image for several platforms."""

    manifests: tuple[Descriptor, ...]


class Manifest(msgspec.Struct, frozen=True):
    """One image: a configuration, and layers from the bottom up."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


class Process(msgspec.Struct, frozen=True, rename="pascal"):
    """What a container of an image runs with."""

    env: tuple[str, ...] | None = None


class Layers(msgspec.Struct, frozen=True):
    """The digests of an image's unpacked layers."""

    diff_ids: tuple[str, ...]


class Configuration(msgspec.Struct, frozen=True):
    """The configuration of an image."""

    rootfs: Layers
    architecture: str = "?"
    os: str = "?"
    config: Process | None = None

    @property
    def variables(self) -> dict[str, str]:
        words = (self.config or Process()).env or ()
        return {name: value for name, _, value in (word.partition("=") for word in words)}


_Read = TypeVar("_Read", Index, Manifest, Configuration)


def read_index(folder: Path) -> Index:
    """Return what a layout has; raises OSError or msgspec.MsgspecError when it is none."""
    return msgspec.json.decode((folder / "index.json").read_bytes(), type=Index)


def read_part(folder: Path, digest: str, kind: type[_Read]) -> _Read:
    """Return what a digest refers to; raises OSError or msgspec.MsgspecError when the layout is not whole."""
    return msgspec.json.decode(blob_path(folder, digest).read_bytes(), type=kind)


def blob_path(folder: Path, digest: str) -> Path:
    """Return where a layout has a blob."""
    return folder / "blobs" / "sha256" / digest.removeprefix("sha256:")
