"""Stores blobs by digest, and the keys of the inputs that layers were built from.

A layer is a compressed tar archive that does not depend on when or where it was built: times are zero, owners
are those of its entries, names are sorted, and the header of the compressor has no time and no system.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from argosy.extra import install_command
from argosy.fault import Fault, MissingError
from argosy.image.content.staging import temporary_folder, write_atomic

try:
    import zstandard
except ImportError:
    _has_zstd = False
else:
    _has_zstd = True

Compression = Literal["zstd", "gzip"]
CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE: Final = "application/vnd.oci.image.index.v1+json"
_LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar"
_ZSTD_LEVEL: Final = 3
_GZIP_LEVEL: Final = 6


class Blob(msgspec.Struct, frozen=True):
    """A blob as a manifest refers to it.

    diff_id: of a layer, the digest of its uncompressed archive; unpacked_bytes: the size of its files.
    """

    media_type: str
    digest: str
    size_bytes: int
    diff_id: str = ""
    unpacked_bytes: int = 0

    def descriptor(self) -> dict[str, str | int]:
        """Return the OCI descriptor of the blob."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size_bytes}


class LayerEntry(msgspec.Struct, frozen=True):
    """A file, link or folder of a layer.

    path: without a leading slash. source: the file with its content; if empty, `data` is the content.
    target: of a link.
    """

    path: str
    kind: Literal["file", "link", "folder"]
    source: str = ""
    data: bytes = b""
    target: str = ""
    mode: int = 0o644
    owner: int = 0

    def read(self) -> bytes:
        return Path(self.source).read_bytes() if self.source else self.data


class BlobStore:
    """A folder of blobs, and of the keys of layers."""

    def __init__(self, folder: Path, compression: Compression = "zstd") -> None:
        self.folder = folder
        self.compression = compression
        self._blob_folder = folder / "blobs" / "sha256"
        self._key_folder = folder / "keys"
        for each in (self._blob_folder, self._key_folder):
            each.mkdir(parents=True, exist_ok=True)

    def path_of(self, digest: str) -> Path:
        """Return the path of a blob."""
        return self._blob_folder / digest.removeprefix("sha256:")

    def find_blob(self, key: str) -> Blob | None:
        """Return the blob that was built from the inputs `key`, None when it is missing or incomplete."""
        try:
            blob = msgspec.json.decode((self._key_folder / self._hash_key(key)).read_bytes(), type=Blob)
            is_complete = self.path_of(blob.digest).stat().st_size == blob.size_bytes
        except (OSError, msgspec.MsgspecError):
            return None
        return blob if is_complete else None

    def get_or_build_layer(self, key: str, entries: Callable[[Path], Iterable[LayerEntry]]) -> Blob:
        """Return the layer of the inputs `key`; `entries` is called only when the store lacks it.

        It gets an empty folder for files that it generates, which is removed after the layer was packed.
        """
        found = self.find_blob(key)
        if found is not None:
            return found
        with temporary_folder(self.folder) as folder:
            uncompressed, unpacked = pack_layer(entries(folder))
        packed = compress(uncompressed, self.compression)
        suffix = "+zstd" if self.compression == "zstd" else "+gzip"
        added = self.add_blob(packed, f"{_LAYER_TYPE}{suffix}")
        blob = msgspec.structs.replace(added, diff_id=digest_of(uncompressed), unpacked_bytes=unpacked)
        self.record_blob(key, blob)
        return blob

    def record_blob(self, key: str, blob: Blob) -> None:
        """Record that a blob of the store was built from the inputs `key`."""
        write_atomic(self._key_folder / self._hash_key(key), msgspec.json.encode(blob))

    def add_blob(self, data: bytes, media_type: str) -> Blob:
        """Add some bytes to the store."""
        digest = digest_of(data)
        path = self.path_of(digest)
        if not path.exists():
            write_atomic(path, data)
        return Blob(media_type, digest, len(data))

    def _hash_key(self, key: str) -> str:
        return hashlib.sha256(f"{self.compression}\n{key}".encode()).hexdigest()


def digest_of(data: bytes) -> str:
    """Return `sha256:` and the hexadecimal digest of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def pack_layer(entries: Iterable[LayerEntry]) -> tuple[bytes, int]:
    """Return the archive of some entries and the sum of their sizes; missing parent folders are added."""
    found = {entry.path: entry for entry in entries}
    for path in list(found):
        for folder in _parent_folders(path):
            found.setdefault(folder, LayerEntry(folder, "folder", mode=0o755))
    out = io.BytesIO()
    total = 0
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted(found):
            entry = found[path]
            info = tarfile.TarInfo(path)
            info.mode, info.uid, info.gid = entry.mode, entry.owner, entry.owner
            if entry.kind == "file":
                data = entry.read()
                info.size = len(data)
                total += len(data)
                archive.addfile(info, io.BytesIO(data))
                continue
            info.type = tarfile.DIRTYPE if entry.kind == "folder" else tarfile.SYMTYPE
            info.linkname = entry.target
            archive.addfile(info)
    return out.getvalue(), total


def _parent_folders(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def compress(data: bytes, compression: Compression) -> bytes:
    """Return the data compressed; equal data gives equal bytes.

    Raises MissingError: zstd is requested and `zstandard` is not installed.
    """
    if compression == "zstd":
        if not _has_zstd:
            message = "layers are compressed with zstd, and `zstandard` is not installed"
            raise MissingError(
                Fault("", "zstd-missing", message, f"`{install_command('image')}`, or `--gzip`")
            )
        return zstandard.ZstdCompressor(level=_ZSTD_LEVEL, threads=0, write_checksum=False).compress(data)
    # With window bits of 31 zlib writes a gzip header whose time and system are fixed.
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def decompress(data: bytes) -> bytes:
    """Return the archive of a layer, which may be compressed with gzip or zstd, or uncompressed."""
    if data[:2] == b"\x1f\x8b":
        return zlib.decompress(data, 31)
    if data[:4] == b"\x28\xb5\x2f\xfd":
        if not _has_zstd:
            message = "a layer is compressed with zstd, and `zstandard` is not installed"
            raise MissingError(Fault("", "zstd-missing", message, f"`{install_command('image')}`"))
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data


def entries_in(folder: Path, prefix: str = "") -> Iterator[LayerEntry]:
    """Yield the entries of a folder; modes become 0755 or 0644, and root owns all."""
    for path in sorted(folder.rglob("*")):
        name = f"{prefix}{path.relative_to(folder).as_posix()}"
        if path.is_symlink():
            yield LayerEntry(name, "link", target=os.readlink(path), mode=0o777)
        elif path.is_dir():
            yield LayerEntry(name, "folder", mode=0o755)
        elif path.is_file():
            mode = 0o755 if path.stat().st_mode & 0o111 else 0o644
            yield LayerEntry(name, "file", source=str(path), mode=mode)
