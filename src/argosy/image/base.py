"""A base that is given, as an image in an OCI layout, in place of the one from Debian's packages.

Its layers are taken as they are, so whoever has the base has them. What is laid upon them was chosen and
compiled for one Python on one architecture: a base with another is refused before anything is built.
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
from argosy.image.blobs import Blob, Entry, Store, decompress, digest_of
from argosy.image.debian import PYTHON, standing_entries
from argosy.image.inside import GROUP_LINE, ROOT_GROUP_LINE, ROOT_LINE, USER_LINE
from argosy.image.layout import (
    Configuration,
    Index,
    Manifest,
    Platform,
    blob_path,
    read_index,
    read_part,
)
from argosy.image.whole import write_whole

ARCHITECTURE: Final = "amd64"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
_PROGRAMS: Final = ("usr/local/bin/python3", "usr/bin/python3")
_LOADER: Final = "ld-linux-x86-64.so.2"
_MOST_LINKS: Final = 40
# An image for several platforms may be one of an image for several.
_MOST_INDEXES: Final = 4
_Part = TypeVar("_Part", Index, Manifest, Configuration)


class Given(msgspec.Struct, frozen=True):
    """A base of somebody else. name: as it was asked for. variables: of its configuration.

    layers: from the bottom up. site: the folder that its Python imports packages from, without a leading
    slash. users, groups: its own and argosy's, as in `/etc/passwd` and `/etc/group`. lacks: files that an
    engine mounts over, and that it has not.
    """

    name: str
    digest: str
    layers: tuple[Blob, ...]
    variables: dict[str, str]
    site: str
    users: str
    groups: str
    lacks: tuple[str, ...]


class Tree:
    """What the layers of an image hold, one above the other."""

    def __init__(self) -> None:
        self.links: dict[str, str | None] = {}
        self.texts: dict[str, str] = {}

    def add(self, data: bytes) -> int:
        """Lay a layer above the others; return the sum of its files."""
        total = 0
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                path = posixpath.normpath("/" + member.name)[1:]
                folder, name = posixpath.split(path)
                if name == ".wh..wh..opq":
                    self._forget(folder, itself=False)
                elif name.startswith(".wh."):
                    self._forget(posixpath.join(folder, name[4:]), itself=True)
                else:
                    self.links[path] = member.linkname if member.issym() else None
                    total += member.size if member.isreg() else 0
                    held = archive.extractfile(member) if path in ("etc/passwd", "etc/group") else None
                    if held is not None:
                        self.texts[path] = held.read().decode(errors="replace")
        return total

    def _forget(self, path: str, *, itself: bool) -> None:
        below = f"{path}/" if path else ""
        for known in list(self.links):
            if known.startswith(below) or (itself and known == path):
                del self.links[known]
                self.texts.pop(known, None)

    def resolve(self, path: str) -> str | None:
        """Return what a path is once its links are followed; None when there is nothing."""
        done, rest = "", path.split("/")
        for _ in range(_MOST_LINKS):
            while rest:
                done = posixpath.join(done, rest.pop(0))
                target = self.links.get(done)
                if target is not None:
                    whole = posixpath.normpath(posixpath.join("/", posixpath.dirname(done), target, *rest))
                    done, rest = "", whole[1:].split("/")
                    break
            else:
                return done if done in self.links else None
        return None


def read_base(text: str, store: Store) -> Given:
    """Read `LAYOUT[:NAME]` and bring its layers into a store.

    Raises InputError: there is no such layout or image, or its architecture or Python is another one.
    """
    folder, name = _split(text)
    digest = _find(folder, name, text)
    manifest = _read(folder, digest, text, Manifest)
    config = _read(folder, manifest.config.digest, text, Configuration)
    found = f"{config.os}/{config.architecture}"
    if found != f"linux/{ARCHITECTURE}":
        hint = f"`skopeo copy --override-arch {ARCHITECTURE} … oci:{folder}` brings the right one"
        raise _faulty("base-architecture", f"`{text}` is for {found}, expected linux/{ARCHITECTURE}", hint)
    tree = Tree()
    layers = tuple(_layers(folder, manifest, config, store, tree, text))
    return Given(
        name=name or folder.name,
        digest=digest,
        layers=layers,
        variables=config.variables,
        site=_site(tree, text),
        users=_with_line(tree.texts.get("etc/passwd", ROOT_LINE), USER_LINE),
        groups=_with_line(tree.texts.get("etc/group", ROOT_GROUP_LINE), GROUP_LINE),
        lacks=tuple(
            path for path in ("etc/hosts", "etc/hostname", "etc/resolv.conf") if path not in tree.links
        ),
    )


def fitting_entries(given: Given) -> Iterator[Entry]:
    """Yield what an image needs beside a base: its user, and the folders that may be written."""
    yield Entry("etc/passwd", "file", data=given.users.encode())
    yield Entry("etc/group", "file", data=given.groups.encode())
    for path in given.lacks:
        yield Entry(path, "file", data=b"")
    yield from standing_entries()


def _with_line(text: str, line: str) -> str:
    return text if line in text else f"{text.rstrip()}\n{line}"


def _split(text: str) -> tuple[Path, str]:
    """Tell the folder from the name; a folder may have a colon in its own."""
    if Path(text).is_dir() or ":" not in text:
        return Path(text), ""
    parts = text.split(":")
    for at in range(len(parts) - 1, 0, -1):
        if Path(":".join(parts[:at])).is_dir():
            return Path(":".join(parts[:at])), ":".join(parts[at:])
    return Path(parts[0]), ":".join(parts[1:])


def _find(folder: Path, name: str, text: str) -> str:
    """Return the digest of the manifest that a name means; of several platforms the one that is built for."""
    try:
        index = read_index(folder)
    except (OSError, msgspec.MsgspecError) as error:
        message = f"`{folder}` is no OCI layout: {error}"
        raise _faulty("base-layout", message, f"`skopeo copy … oci:{folder}:NAME` writes one") from error
    items = [item for item in index.manifests if not name or item.name == name]
    if len(items) != 1:
        names = sorted({item.name for item in index.manifests} - {""})
        has = ", ".join(f"`{folder}:{each}`" for each in names)
        listed = f"there is {has}" if has else f"`skopeo copy … oci:{folder}:NAME` gives a name"
        raise _faulty("base-name", f"`{text}` means {len(items)} images, expected one", listed)
    (item,) = items
    for _ in range(_MOST_INDEXES):
        if not item.is_index:
            break
        below = _read(folder, item.digest, text, Index).manifests
        platforms = [(each, each.platform or Platform()) for each in below]
        fitting = [each for each, platform in platforms if platform.architecture == ARCHITECTURE]
        if not fitting:
            has = ", ".join(sorted({platform.architecture for _, platform in platforms}))
            message = f"`{text}` is for {has or 'nothing'}, expected linux/{ARCHITECTURE}"
            raise _faulty("base-architecture", message)
        item = fitting[0]
    return item.digest


def _read(folder: Path, digest: str, text: str, kind: type[_Part]) -> _Part:
    try:
        return read_part(folder, digest, kind)
    except (OSError, msgspec.MsgspecError) as error:
        raise _faulty("base-layout", f"`{text}` is not whole: {digest}: {error}") from error


def _layers(
    folder: Path, manifest: Manifest, config: Configuration, store: Store, tree: Tree, text: str
) -> Iterator[Blob]:
    """Yield the layers, each checked against its digests and brought into the store."""
    diff_ids = config.rootfs.diff_ids
    if len(manifest.layers) != len(diff_ids):
        message = (
            f"`{text}` is damaged: {len(manifest.layers)} layers, and {len(diff_ids)} in its configuration"
        )
        raise _faulty("base-layout", message)
    for digest, diff_id in zip((item.digest for item in manifest.layers), diff_ids, strict=True):
        try:
            data = blob_path(folder, digest).read_bytes()
        except OSError as error:
            raise _faulty("base-layout", f"`{text}` is not whole: {error}") from error
        plain = decompress(data) if digest_of(data) == digest else b""
        if not plain or digest_of(plain) != diff_id:
            raise _faulty("base-layout", f"`{text}` is damaged: {digest} has other bytes")
        try:
            total = tree.add(plain)
        except tarfile.TarError as error:
            raise _faulty("base-layout", f"`{text}` is damaged: {digest} is no archive: {error}") from error
        target = store.path_of(digest)
        if not target.exists():
            write_whole(target, data)
        kind = "+zstd" if data[:4] == b"\x28\xb5\x2f\xfd" else "+gzip" if data[:2] == b"\x1f\x8b" else ""
        yield Blob(f"{_LAYER}{kind}", digest, len(data), diff_id, total)


def _site(tree: Tree, text: str) -> str:
    """Return where the Python of a base imports packages from; raises for another Python than the lock's."""
    program = next((found for found in map(tree.resolve, _PROGRAMS) if found is not None), None)
    hint = f"expected Python {PYTHON} as {' or '.join(f'`/{each}`' for each in _PROGRAMS)}"
    if program is None:
        raise _faulty("base-python", f"`{text}` has no Python", hint)
    version = re.fullmatch(r"python(3\.\d+)", posixpath.basename(program))
    if version is None or version[1] != PYTHON:
        found = f"Python {version[1]}" if version else f"`/{program}`"
        raise _faulty("base-python", f"`{text}` has {found}, the lock is for Python {PYTHON}", hint)
    prefix = posixpath.dirname(posixpath.dirname(program))
    if tree.resolve(f"{prefix}/lib/python{PYTHON}/os.py") is None:
        raise _faulty(
            "base-python", f"`{text}` has no standard library in `/{prefix}/lib/python{PYTHON}`", hint
        )
    if not any(posixpath.basename(path) == _LOADER for path in tree.links):
        message = f"`{text}` has no `{_LOADER}`: wheels with machine code need glibc"
        raise _faulty("base-libc", message, "Debian, Ubuntu and Fedora have it, Alpine has not")
    # Debian's own Python imports from another folder than one that was built from source.
    packages = "dist-packages" if prefix == "usr" else "site-packages"
    return f"usr/local/lib/python{PYTHON}/{packages}"


def _faulty(code: str, message: str, hint: str = "") -> InputError:
    return InputError(Fault("--base", code, message, hint))
