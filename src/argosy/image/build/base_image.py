"""Reads a base image from an OCI layout, for use in place of the base from Debian packages.

Its layers are used unchanged, so a host that has the base image has them already. The layers above are
resolved and compiled for one Python on one architecture: another base is rejected before anything is built.
"""

from __future__ import annotations

import io
import posixpath
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from argosy.fault import Fault, InputError
from argosy.image.build.oci_layout import (
    OciImageConfig,
    OciIndex,
    OciManifest,
    OciPlatform,
    blob_path,
    read_document,
    read_index,
)
from argosy.image.content.blob_store import Blob, BlobStore, LayerEntry, decompress, digest_of
from argosy.image.content.debian import PYTHON, standard_entries
from argosy.image.content.staging import write_atomic
from argosy.image.runtime.image_paths import (
    ROOT_GROUP_LINE,
    ROOT_PASSWD_LINE,
    USER_GROUP_LINE,
    USER_PASSWD_LINE,
)

ARCHITECTURE: Final = "amd64"
_LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar"
_PYTHON_PATHS: Final = ("usr/local/bin/python3", "usr/bin/python3")
_DYNAMIC_LOADER: Final = "ld-linux-x86-64.so.2"
_MAX_LINKS: Final = 40
# An index may refer to further indexes.
_MAX_INDEX_DEPTH: Final = 4
_Part = TypeVar("_Part", OciIndex, OciManifest, OciImageConfig)


class BaseImage(msgspec.Struct, frozen=True):
    """A base image of another builder. name: as requested. variables: of its configuration.

    layers: from the bottom up. site_packages: the folder that its Python imports packages from, without a
    leading slash. passwd_text, group_text: its `/etc/passwd` and `/etc/group`, with argosy's user added.
    missing_files: files that an engine mounts over and that it does not have.
    """

    name: str
    digest: str
    layers: tuple[Blob, ...]
    variables: dict[str, str]
    site_packages: str
    passwd_text: str
    group_text: str
    missing_files: tuple[str, ...]


class LayerTree:
    """The file tree of an image: the union of its layers."""

    def __init__(self) -> None:
        self.links: dict[str, str | None] = {}
        self.file_texts: dict[str, str] = {}

    def add_layer(self, data: bytes) -> int:
        """Add a layer above the others; return the sum of its file sizes."""
        total = 0
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                path = posixpath.normpath("/" + member.name)[1:]
                folder, name = posixpath.split(path)
                if name == ".wh..wh..opq":
                    self._remove(folder, includes_path=False)
                elif name.startswith(".wh."):
                    self._remove(posixpath.join(folder, name[4:]), includes_path=True)
                else:
                    self.links[path] = member.linkname if member.issym() else None
                    total += member.size if member.isreg() else 0
                    extracted = archive.extractfile(member) if path in ("etc/passwd", "etc/group") else None
                    if extracted is not None:
                        self.file_texts[path] = extracted.read().decode(errors="replace")
        return total

    def _remove(self, path: str, *, includes_path: bool) -> None:
        below = f"{path}/" if path else ""
        for known in list(self.links):
            if known.startswith(below) or (includes_path and known == path):
                del self.links[known]
                self.file_texts.pop(known, None)

    def resolve(self, path: str) -> str | None:
        """Return a path with its symbolic links resolved; None when there is no such file."""
        resolved, remaining = "", path.split("/")
        for _ in range(_MAX_LINKS):
            while remaining:
                resolved = posixpath.join(resolved, remaining.pop(0))
                target = self.links.get(resolved)
                if target is not None:
                    target_path = posixpath.normpath(
                        posixpath.join("/", posixpath.dirname(resolved), target, *remaining)
                    )
                    resolved, remaining = "", target_path[1:].split("/")
                    break
            else:
                return resolved if resolved in self.links else None
        return None


def read_base_image(reference: str, store: BlobStore) -> BaseImage:
    """Read `LAYOUT[:NAME]` and add its layers to a store.

    Raises InputError: there is no such layout or image, or its architecture or Python does not match.
    """
    folder, name = _split_reference(reference)
    digest = _find_manifest(folder, name, reference)
    manifest = _read_part(folder, digest, reference, OciManifest)
    config = _read_part(folder, manifest.config.digest, reference, OciImageConfig)
    found = f"{config.os}/{config.architecture}"
    if found != f"linux/{ARCHITECTURE}":
        hint = f"`skopeo copy --override-arch {ARCHITECTURE} … oci:{folder}` copies the right one"
        raise _base_error(
            "base-architecture", f"`{reference}` is for {found}, expected linux/{ARCHITECTURE}", hint
        )
    tree = LayerTree()
    layers = tuple(_import_layers(folder, manifest, config, store, tree, reference))
    return BaseImage(
        name=name or folder.name,
        digest=digest,
        layers=layers,
        variables=config.variables,
        site_packages=_find_site_packages(tree, reference),
        passwd_text=_ensure_line(tree.file_texts.get("etc/passwd", ROOT_PASSWD_LINE), USER_PASSWD_LINE),
        group_text=_ensure_line(tree.file_texts.get("etc/group", ROOT_GROUP_LINE), USER_GROUP_LINE),
        missing_files=tuple(
            path for path in ("etc/hosts", "etc/hostname", "etc/resolv.conf") if path not in tree.links
        ),
    )


def base_image_entries(base_image: BaseImage) -> Iterator[LayerEntry]:
    """Yield the files that an image needs above a base image: its user, and the writable folders."""
    yield LayerEntry("etc/passwd", "file", data=base_image.passwd_text.encode())
    yield LayerEntry("etc/group", "file", data=base_image.group_text.encode())
    for path in base_image.missing_files:
        yield LayerEntry(path, "file", data=b"")
    yield from standard_entries()


def _ensure_line(text: str, line: str) -> str:
    return text if line in text else f"{text.rstrip()}\n{line}"


def _split_reference(reference: str) -> tuple[Path, str]:
    """Return the folder and the name of a reference; both may contain colons."""
    if Path(reference).is_dir() or ":" not in reference:
        return Path(reference), ""
    parts = reference.split(":")
    for count in range(len(parts) - 1, 0, -1):
        if Path(":".join(parts[:count])).is_dir():
            return Path(":".join(parts[:count])), ":".join(parts[count:])
    return Path(parts[0]), ":".join(parts[1:])


def _find_manifest(folder: Path, name: str, reference: str) -> str:
    """Return the digest of the manifest of a name; of a multi-platform image that for `ARCHITECTURE`."""
    try:
        index = read_index(folder)
    except (OSError, msgspec.MsgspecError) as error:
        message = f"`{folder}` is not an OCI layout: {error}"
        raise _base_error("base-layout", message, f"`skopeo copy … oci:{folder}:NAME` writes one") from error
    items = [item for item in index.manifests if not name or item.name == name]
    if len(items) != 1:
        names = sorted({item.name for item in index.manifests} - {""})
        available = ", ".join(f"`{folder}:{name}`" for name in names)
        hint = f"available: {available}" if available else f"`skopeo copy … oci:{folder}:NAME` sets a name"
        raise _base_error("base-name", f"`{reference}` matches {len(items)} images, expected one", hint)
    (item,) = items
    for _ in range(_MAX_INDEX_DEPTH):
        if not item.is_index:
            break
        below = _read_part(folder, item.digest, reference, OciIndex).manifests
        platforms = [(each, each.platform or OciPlatform()) for each in below]
        matching = [each for each, platform in platforms if platform.architecture == ARCHITECTURE]
        if not matching:
            available = ", ".join(sorted({platform.architecture for _, platform in platforms}))
            message = f"`{reference}` is for {available or 'nothing'}, expected linux/{ARCHITECTURE}"
            raise _base_error("base-architecture", message)
        item = matching[0]
    return item.digest


def _read_part(folder: Path, digest: str, reference: str, kind: type[_Part]) -> _Part:
    try:
        return read_document(folder, digest, kind)
    except (OSError, msgspec.MsgspecError) as error:
        raise _base_error("base-layout", f"`{reference}` is incomplete: {digest}: {error}") from error


def _import_layers(
    folder: Path,
    manifest: OciManifest,
    config: OciImageConfig,
    store: BlobStore,
    tree: LayerTree,
    reference: str,
) -> Iterator[Blob]:
    """Yield the layers; each is checked against its digests and added to the store."""
    diff_ids = config.rootfs.diff_ids
    if len(manifest.layers) != len(diff_ids):
        counts = f"{len(manifest.layers)} layers, and {len(diff_ids)} in its configuration"
        raise _base_error("base-layout", f"`{reference}` is damaged: {counts}")
    for digest, diff_id in zip((item.digest for item in manifest.layers), diff_ids, strict=True):
        try:
            data = blob_path(folder, digest).read_bytes()
        except OSError as error:
            raise _base_error("base-layout", f"`{reference}` is incomplete: {error}") from error
        plain = decompress(data) if digest_of(data) == digest else b""
        if not plain or digest_of(plain) != diff_id:
            raise _base_error("base-layout", f"`{reference}` is damaged: {digest} does not match its bytes")
        try:
            total = tree.add_layer(plain)
        except tarfile.TarError as error:
            message = f"`{reference}` is damaged: {digest} is not an archive: {error}"
            raise _base_error("base-layout", message) from error
        target = store.path_of(digest)
        if not target.exists():
            write_atomic(target, data)
        kind = "+zstd" if data[:4] == b"\x28\xb5\x2f\xfd" else "+gzip" if data[:2] == b"\x1f\x8b" else ""
        yield Blob(f"{_LAYER_TYPE}{kind}", digest, len(data), diff_id, total)


def _find_site_packages(tree: LayerTree, reference: str) -> str:
    """Return the folder that the Python of a base image imports packages from.

    Raises InputError: there is no Python, or not that of the lock.
    """
    program = next((found for found in map(tree.resolve, _PYTHON_PATHS) if found is not None), None)
    hint = f"expected Python {PYTHON} as {' or '.join(f'`/{each}`' for each in _PYTHON_PATHS)}"
    if program is None:
        raise _base_error("base-python", f"`{reference}` has no Python", hint)
    version = re.fullmatch(r"python(3\.\d+)", posixpath.basename(program))
    if version is None or version[1] != PYTHON:
        found = f"Python {version[1]}" if version else f"`/{program}`"
        raise _base_error("base-python", f"`{reference}` has {found}, the lock is for Python {PYTHON}", hint)
    prefix = posixpath.dirname(posixpath.dirname(program))
    if tree.resolve(f"{prefix}/lib/python{PYTHON}/os.py") is None:
        raise _base_error(
            "base-python", f"`{reference}` has no standard library in `/{prefix}/lib/python{PYTHON}`", hint
        )
    if not any(posixpath.basename(path) == _DYNAMIC_LOADER for path in tree.links):
        message = f"`{reference}` has no `{_DYNAMIC_LOADER}`: wheels with machine code need glibc"
        raise _base_error("base-libc", message, "Debian, Ubuntu and Fedora have it, Alpine does not")
    # Debian's Python imports from `dist-packages`, one that was built from source from `site-packages`.
    packages = "dist-packages" if prefix == "usr" else "site-packages"
    return f"usr/local/lib/python{PYTHON}/{packages}"


def _base_error(code: str, message: str, hint: str = "") -> InputError:
    return InputError(Fault("--base", code, message, hint))
