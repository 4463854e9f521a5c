"""The plan of images as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from argosy.fault import Fault, InputError
from argosy.fleet.spelling import nearest
from argosy.image.catalogue import HEAVY
from argosy.image.plan import Dragged, Image, ImagePlan
from argosy.image.push import Pushed
from argosy.image.reach import Use
from argosy.image.record import Record
from argosy.image.statistic import INSTEAD
from argosy.image.workshop import Outcome
from argosy.source.distributions import normalized

_LISTED = 6


def plan_object(plan: ImagePlan, record: Record) -> dict[str, Any]:
    """Return `image-plan/1`."""
    return {
        "argosy": "image-plan/1",
        "fleet": plan.fleet.name,
        "agents": len(plan.fleet.agents),
        "images": {image.name: _image_object(image, record) for image in plan.images.values()},
        "unused": {name: {"where": places} for name, places in plan.unused.items()},
        "missing": {
            item.package: {
                "modules": item.modules,
                "agents": item.agents,
                "where": _place(item.first),
            }
            for item in plan.missing.values()
        },
        "tools": {name: {"where": places} for name, places in plan.tools.items()},
        "unread": plan.unread,
        "questions": {
            item.module: {"agents": item.agents, "where": _place(item.first)}
            for item in plan.questions.values()
        },
        "elsewhere": plan.elsewhere,
        "statistics": [
            {
                "agent": agent,
                "package": package,
                "takes": {item.path: item.takes for item in items},
                "instead": INSTEAD,
            }
            for agent, package, items in plan.statistics
        ],
        "because": [_dragged_object(item) for item in plan.dragged],
        "proposed": [
            {"name": group.name, "machine": group.machine, "agents": group.agents} for group in plan.proposed
        ],
        "notes": plan.notes,
    }


def _image_object(image: Image, record: Record) -> dict[str, Any]:
    built = record.images.get(image.name)
    return {
        "agents": image.agents,
        "packages": image.packages,
        "gpu": image.gpu,
        "size": built.unpacked_bytes if built is not None else None,
        "machine": image.machine,
        "system": image.system,
        "files": image.files,
    }


def _dragged_object(item: Dragged) -> dict[str, Any]:
    return {
        "agent": item.agent,
        "package": item.package,
        "how": item.how,
        "module": item.use.module,
        "where": _place(item.use),
        "when": item.use.when,
        "way": item.use.way,
        "statistic": item.is_statistic,
    }


def _place(use: Use) -> str:
    return f"{use.path}:{use.line}"


def plan_text(plan: ImagePlan, record: Record) -> str:
    """Return the plan for people: the images, then who drags what is heavy, then what does not fit."""
    return "\n".join(
        [
            *_images(plan, record),
            *_heavy(plan),
            *_section("installed, and imported by no agent", _unused(plan)),
            *_section("imported, and installed by no list", _missing(plan)),
            *_section("read in part only", (f"{name}: {why}" for name, why in plan.unread.items())),
            *_section("for a person to say which package it is", _questions(plan)),
            *_section("of other systems, in no image", _elsewhere(plan)),
            *(f"note: {note}" for note in plan.notes),
            _account(plan),
        ]
    )


def _images(plan: ImagePlan, record: Record) -> Iterator[str]:
    width = max(len(image.name) for image in plan.images.values())
    for image in plan.images.values():
        gpu = f"  gpu {image.gpu}" if image.gpu else ""
        counts = (
            f"{len(image.agents):>3} agents {len(image.files):>4} files {len(image.packages):>3} packages"
        )
        built = record.images.get(image.name)
        size = f"  {built.unpacked_bytes / 1e6:.1f} MB when built last" if built is not None else ""
        yield f"{image.name:<{width}} {counts}{gpu}{size}"
        heavy = sorted(HEAVY & set(image.packages))
        if heavy:
            yield f"{'':<{width}} heavy: {', '.join(heavy)}"


def _heavy(plan: ImagePlan) -> Iterator[str]:
    yield from _section("who drags in what is heavy", _drags(plan))
    reads = [f"{agent}: `{package}` ({_taken(items)})" for agent, package, items in plan.statistics]
    yield from _section(f"imported for a statistic alone, which `{INSTEAD}` tells as well", reads)


def _taken(items: Iterable[Any]) -> str:
    names = sorted({name for item in items for name in item.takes})
    return _listed(names) if names else "takes nothing of it"


def _drags(plan: ImagePlan) -> Iterator[str]:
    packages = sorted({item.package for item in plan.dragged} & HEAVY)
    for package in packages:
        items = [item for item in plan.dragged if item.package == package]
        agents = list(dict.fromkeys(item.agent for item in items))
        first = min(items, key=lambda item: (bool(item.use.when), len(item.use.way), item.use))
        yield f"{package}: {_listed(agents)}; first {_place(first.use)}"


def _unused(plan: ImagePlan) -> Iterator[str]:
    for name, places in plan.unused.items():
        yield f"{name} ({_listed(places, 2)})"


def _missing(plan: ImagePlan) -> Iterator[str]:
    for item in plan.missing.values():
        yield f"{item.package}: {_listed(item.agents)}; {_place(item.first)}"


def _questions(plan: ImagePlan) -> Iterator[str]:
    for item in plan.questions.values():
        yield f"`{item.module}`: {_listed(item.agents)}; {_place(item.first)}"


def _elsewhere(plan: ImagePlan) -> Iterator[str]:
    for name, agents in plan.elsewhere.items():
        yield f"{name}: {_listed(agents)}"


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    found = list(lines)
    if found:
        yield from ("", f"{title}: {len(found)}", *(f"  {line}" for line in found))


def _account(plan: ImagePlan) -> str:
    total = len(plan.fleet.agents)
    held = sum(len(image.agents) for image in plan.images.values())
    gpu = sum(image.gpu is not None for image in plan.images.values())
    return (
        f"\n{total} agents = {held} in {len(plan.images)} images ({gpu} with a GPU); {len(plan.unread)} "
        f"read in part only; {len(plan.unused)} packages unused, {len(plan.missing)} missing, "
        f"{len(plan.questions)} questions"
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


def why_text(plan: ImagePlan, package: str) -> str:
    """Return every import of one package: agent, file and line, circumstances, and the way there.

    Raises InputError: no agent imports it.
    """
    name = normalized(package)
    items = [item for item in plan.dragged if name in (item.package, normalized(item.use.top))]
    if not items:
        near = nearest(name, sorted({item.package for item in plan.dragged}))
        hint = f"did you mean `{near}`?" if near else "`argosy image plan --json` lists all packages"
        raise InputError(Fault("--package", "unknown-package", f"no agent imports `{package}`", hint))
    return "\n".join(map(_why, items))


def _why(item: Dragged) -> str:
    when = f" ({', '.join(item.use.when)})" if item.use.when else ""
    way = f" by {' -> '.join(item.use.way)}" if item.use.way else ""
    statistic = "; for a statistic alone" if item.is_statistic else ""
    return f"{item.agent}: {_place(item.use)} imports `{item.use.module}`{when}{way}{statistic}"


def _listed(names: Iterable[str], most: int = _LISTED) -> str:
    found = list(names)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more
