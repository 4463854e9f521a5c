"""Renders the results of lock, build and push as text and as JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from argosy.image.build.build_pipeline import BuildResult, LockResult
from argosy.image.registry.push import PushedImage


def lock_json(locked: LockResult) -> dict[str, Any]:
    """Return `image-lock/1`."""
    return {
        "argosy": "image-lock/1",
        "path": str(locked.path),
        "wheels": len(locked.lock.wheels),
        "base": len(locked.lock.base),
        "machines": {
            each.machine: {"path": str(each.path), "agents": each.agents, "wheels": len(each.wheels)}
            for each in locked.machines
        },
    }


def lock_text(locked: LockResult) -> str:
    """Return a line for each written file."""
    lock = locked.lock
    return "\n".join(
        [
            f"wrote {locked.path}: {len(lock.wheels)} wheels, {len(lock.base)} packages of Debian",
            *(
                f"wrote {each.path}: {len(each.wheels)} wheels for the agents of `{each.machine}`, "
                f"{len(each.agents)}"
                for each in locked.machines
            ),
        ]
    )


def build_json(result: BuildResult) -> dict[str, Any]:
    """Return `image-build/1`."""
    return {
        "argosy": "image-build/1",
        "layout": str(result.folder),
        "images": {
            name: {
                "digest": entry.digest,
                "agents": entry.agents,
                "size": entry.unpacked_bytes,
                "stored": entry.stored_bytes,
                "layers": len(entry.layers),
                "named": entry.smoke_test is not None and entry.smoke_test.is_passed,
                "proof": msgspec.to_builtins(entry.smoke_test),
            }
            for name, entry in (
                (item.image.name, result.record.images[item.image.name]) for item in result.built
            )
        },
        "stored": result.record.shared_bytes,
        "unnamed": result.untagged,
    }


def build_text(result: BuildResult) -> str:
    """Return the summary of a build."""
    images = [result.record.images[item.image.name] for item in result.built]
    all_images = result.record.images.values()
    unshared_bytes, shared = sum(image.stored_bytes for image in all_images), result.record.shared_bytes
    tagged = sum(image.smoke_test is not None and image.smoke_test.is_passed for image in images)
    return (
        f"{len(images)} images built = {tagged} tagged + {len(images) - tagged} untagged; the layout has "
        f"{len(all_images)}: {shared / 1e6:.1f} MB stored, {unshared_bytes / 1e6:.1f} MB without sharing; "
        f"{result.folder}"
    )


def push_json(pushed: tuple[PushedImage, ...]) -> dict[str, Any]:
    """Return `image-push/1`."""
    return {
        "argosy": "image-push/1",
        "images": {
            item.image: {
                "place": item.reference,
                "digest": item.digest,
                "blobs": {"sent": item.sent, "mounted": item.mounted, "there": item.existing},
                "sent": item.sent_bytes,
            }
            for item in pushed
        },
    }


def push_text(pushed: tuple[PushedImage, ...]) -> str:
    """Return the summary of a push."""
    blobs = sum(item.sent + item.mounted + item.existing for item in pushed)
    sent = sum(item.sent for item in pushed)
    return (
        f"{len(pushed)} images pushed and read back with the same digest; {blobs} blobs = {sent} sent "
        f"({sum(item.sent_bytes for item in pushed) / 1e6:.1f} MB) + {blobs - sent} not sent again"
    )
