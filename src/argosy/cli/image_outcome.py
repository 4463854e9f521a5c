"""What was locked, built and pushed, as text and as JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from argosy.image.push import Pushed
from argosy.image.workshop import Locked, Outcome


def lock_object(locked: Locked) -> dict[str, Any]:
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


def lock_text(locked: Locked) -> str:
    """Return what was written, a line a file."""
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


def build_object(outcome: Outcome) -> dict[str, Any]:
    """Return `image-build/1`."""
    return {
        "argosy": "image-build/1",
        "layout": str(outcome.folder),
        "images": {
            name: {
                "digest": entry.digest,
                "agents": entry.agents,
                "size": entry.unpacked_bytes,
                "stored": entry.stored_bytes,
                "layers": len(entry.layers),
                "named": entry.proof is not None and entry.proof.is_good,
                "proof": msgspec.to_builtins(entry.proof),
            }
            for name, entry in (
                (item.image.name, outcome.record.images[item.image.name]) for item in outcome.built
            )
        },
        "stored": outcome.record.shared_bytes,
        "unnamed": outcome.unnamed,
    }


def build_text(outcome: Outcome) -> str:
    """Return the closing account of a build."""
    images = [outcome.record.images[item.image.name] for item in outcome.built]
    held = outcome.record.images.values()
    alone, shared = sum(image.stored_bytes for image in held), outcome.record.shared_bytes
    named = sum(image.proof is not None and image.proof.is_good for image in images)
    return (
        f"{len(images)} images built = {named} named + {len(images) - named} without a name; the layout has "
        f"{len(held)}: {shared / 1e6:.1f} MB stored, {alone / 1e6:.1f} MB if nothing were shared; "
        f"{outcome.folder}"
    )


def push_object(done: tuple[Pushed, ...]) -> dict[str, Any]:
    """Return `image-push/1`."""
    return {
        "argosy": "image-push/1",
        "images": {
            item.image: {
                "place": item.place,
                "digest": item.digest,
                "blobs": {"sent": item.sent, "mounted": item.mounted, "there": item.there},
                "sent": item.sent_bytes,
            }
            for item in done
        },
    }


def push_text(done: tuple[Pushed, ...]) -> str:
    """Return the closing account of a push."""
    blobs = sum(item.sent + item.mounted + item.there for item in done)
    sent = sum(item.sent for item in done)
    return (
        f"{len(done)} images pushed and read back with the same digest; {blobs} blobs = {sent} sent "
        f"({sum(item.sent_bytes for item in done) / 1e6:.1f} MB) + {blobs - sent} not sent again"
    )
