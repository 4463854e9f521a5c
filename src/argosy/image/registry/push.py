"""Pushes images of a layout to a registry: first the blobs, then the manifest, so that tags are complete.

Blobs that the registry has are not sent again: those of an interrupted push are kept, and those of another
image of the fleet are mounted from its repository.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from argosy.extra import install_command
from argosy.fault import Fault, InputError, MissingError, RefusedError
from argosy.fleet.suggestions import suggest
from argosy.image.build.image_builder import IMAGE_ANNOTATION
from argosy.image.build.oci_layout import OciDescriptor, OciManifest, blob_path, read_index
from argosy.image.registry.push_target import PushTarget

if TYPE_CHECKING:
    from argosy.image.registry.registry_client import OrasRegistry


class LayoutImage(msgspec.Struct, frozen=True):
    """A tagged image of a layout. reference: its name without a tag."""

    image: str
    reference: str
    tag: str
    digest: str
    media_type: str


class PushedImage(msgspec.Struct, frozen=True):
    """An image that was pushed. reference: its full name with a tag; digest: as read back from the registry.

    sent, mounted, existing: counts of blobs: sent, mounted from another repository, or already there.
    """

    image: str
    reference: str
    digest: str
    sent: int
    mounted: int
    existing: int
    sent_bytes: int


def open_registry(target: PushTarget) -> OrasRegistry:
    """Return a connected registry; raises as `OrasRegistry`, and MissingError: oras-py is not installed."""
    try:
        # An extra, and slow to import.
        from argosy.image.registry.registry_client import OrasRegistry  # noqa: PLC0415
    except ImportError as error:
        message = f"images are pushed by oras-py, and `{error.name}` is not installed"
        raise MissingError(
            Fault("", "push-extra-missing", message, f"`{install_command('push')}`")
        ) from error
    return OrasRegistry(target)


def read_layout_images(folder: Path, only: tuple[str, ...]) -> list[LayoutImage]:
    """Return the images of a layout to push. only: these images; empty for all that have a name.

    Raises InputError: there is no layout, or no such image. Raises RefusedError: a requested image has no
    name, because it did not pass a smoke test.
    """
    hint = "`argosy image build` writes one"
    try:
        index = read_index(folder)
    except FileNotFoundError as error:
        message = f"there is no layout in `{folder}`"
        raise InputError(Fault(str(folder), "no-layout", message, hint)) from error
    except msgspec.MsgspecError as error:
        raise InputError(
            Fault(str(folder / "index.json"), "layout", f"not an index: {error}", hint)
        ) from error
    items = {
        item.annotations[IMAGE_ANNOTATION]: item
        for item in index.manifests
        if item.annotations and IMAGE_ANNOTATION in item.annotations
    }
    for name in only:
        if name not in items:
            suggestion = suggest(name, items, "images")
            raise InputError(
                Fault("--only", "unknown-image", f"the layout has no image `{name}`", suggestion)
            )
    tagged = {name: item for name, item in items.items() if item.name}
    untagged = [name for name in only or items if name not in tagged]
    if untagged and (only or not tagged):
        listed = ", ".join(f"`{name}`" for name in untagged)
        message = f"{listed} has no name in the layout: its smoke test failed or was not run"
        hint = "`argosy image build` shows what failed"
        raise RefusedError(Fault(str(folder), "untagged-image", message, hint))
    if not tagged:
        raise InputError(Fault(str(folder), "no-layout", "the layout has no image of argosy", hint))
    return [_layout_image(name, item) for name, item in tagged.items() if not only or name in only]


def _layout_image(name: str, item: OciDescriptor) -> LayoutImage:
    reference, _, tag = item.name.rpartition(":")
    return LayoutImage(name, reference, tag, item.digest, item.media_type)


def push_images(
    folder: Path,
    images: list[LayoutImage],
    target: PushTarget,
    tag: str | None,
    notify: Callable[[str], None],
) -> tuple[PushedImage, ...]:
    """Push images of a layout, one after the other; raises as the registry does.

    tag: instead of the one in the layout. notify: takes a line for each image.
    """
    registry = open_registry(target)
    repositories_by_blob: dict[str, str] = {}
    pushed_images = []
    try:
        for image in images:
            repository = target.repository_of(image.reference)
            pushed = _push_image(folder, image, registry, repository, tag or image.tag, repositories_by_blob)
            pushed = msgspec.structs.replace(pushed, reference=f"{target.host}/{pushed.reference}")
            notify(describe_push(pushed))
            pushed_images.append(pushed)
    finally:
        registry.close()
    return tuple(pushed_images)


def describe_push(pushed: PushedImage) -> str:
    """Return the result of a push in one line; the counts of blobs add up."""
    total = pushed.sent + pushed.mounted + pushed.existing
    return (
        f"{pushed.reference} {pushed.digest}: {total} blobs = {pushed.sent} sent "
        f"({pushed.sent_bytes / 1e6:.1f} MB) + {pushed.mounted} mounted + {pushed.existing} existing"
    )


def _push_image(
    folder: Path,
    image: LayoutImage,
    registry: OrasRegistry,
    repository: str,
    tag: str,
    repositories_by_blob: dict[str, str],
) -> PushedImage:
    """Push one image. repositories_by_blob: digest to a repository that has it; updated."""
    data = _find_blob(folder, image.digest).read_bytes()
    counts = {"sent": 0, "mounted": 0, "existing": 0}
    sent_bytes = 0
    for digest in dict.fromkeys(msgspec.json.decode(data, type=OciManifest).blob_digests):
        source_repository = repositories_by_blob.get(digest)
        if registry.has_blob(repository, digest):
            counts["existing"] += 1
        elif source_repository is not None and registry.mount_blob(repository, digest, source_repository):
            counts["mounted"] += 1
        else:
            path = _find_blob(folder, digest)
            registry.send_blob(repository, path, digest)
            counts["sent"] += 1
            sent_bytes += path.stat().st_size
        repositories_by_blob[digest] = repository
    registry.send_manifest(repository, tag, data, image.media_type)
    found = registry.digest_of_tag(repository, tag)
    if found != image.digest:
        message = f"`{repository}:{tag}` has the digest {found}, expected {image.digest}"
        hint = "another push changed the tag, or the registry rewrites manifests"
        raise RefusedError(Fault(repository, "registry-digest", message, hint))
    return PushedImage(image.image, f"{repository}:{tag}", found, sent_bytes=sent_bytes, **counts)


def _find_blob(folder: Path, digest: str) -> Path:
    path = blob_path(folder, digest)
    if not path.is_file():
        message = f"the layout lacks {digest}"
        raise InputError(Fault(str(folder), "layout", message, "`argosy image build` writes it again"))
    return path
