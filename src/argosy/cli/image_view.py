"""The plan of images as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from argosy.fault import Fault, InputError
from argosy.fleet.spelling import nearest
from argosy.image.catalogue import HEAVY
from argosy.image.plan import Dragged, Image, ImagePlan
from argosy.image.reach import Use
from argosy.image.statistic import INSTEAD
from argosy.image.weights import Measured, Weight, Weights
from argosy.source.distributions import normalized

_LISTED = 6


def plan_object(plan: ImagePlan, measured: Measured) -> dict[str, Any]:
    """Return `image-plan/1`."""
    return {
        "argosy": "image-plan/1",
        "fleet": plan.fleet.name,
        "agents": len(plan.fleet.agents),
        "images": {image.name: _image_object(image, measured) for image in plan.images.values()},
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
        "proposed": [_proposed_object(image, measured.proposed) for image in plan.proposed],
        "weights": {
            "images": _weights_object(measured.images),
            "proposed": _weights_object(measured.proposed),
            "unknown": measured.unknown,
        },
        "notes": plan.notes,
    }


def _image_object(image: Image, measured: Measured) -> dict[str, Any]:
    weight = measured.images.each[image.name]
    return {
        "agents": image.agents,
        "packages": image.packages,
        "gpu": image.gpu,
        "size": weight.built_bytes,
        "wheels": weight.wheels_bytes,
        "machine": image.machine,
        "system": image.system,
        "files": image.files,
    }


def _proposed_object(image: Image, weights: Weights) -> dict[str, Any]:
    weight = weights.each[image.name]
    return {
        "name": image.name,
        "machine": image.machine,
        "agents": image.agents,
        "packages": image.packages,
        "gpu": image.gpu,
        "size": weight.built_bytes,
        "wheels": weight.wheels_bytes,
    }


def _weights_object(weights: Weights) -> dict[str, Any]:
    return {
        "size": weights.once.built_bytes,
        "size_alone": weights.alone.built_bytes,
        "wheels": weights.once.wheels_bytes,
        "wheels_alone": weights.alone.wheels_bytes,
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


def plan_text(plan: ImagePlan, measured: Measured) -> str:
    """Return the plan for people: the images, then who drags what is heavy, then what does not fit."""
    proposed = (
        [] if plan.is_grouped else ["proposed by what is imported, since the fleet file names no group:"]
    )
    return "\n".join(
        [
            *proposed,
            *_rows(list(plan.images.values()), measured.images),
            *_totals(measured.images),
            *([f"note: {measured.unknown}"] if measured.unknown and not plan.is_grouped else []),
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


def proposal_text(plan: ImagePlan, measured: Measured) -> str:
    """Return for people the groups that what is imported would make, and what they take beside the file's."""
    return "\n".join(
        [
            *_rows(list(plan.proposed), measured.proposed),
            *_totals(measured.proposed),
            *([f"as the fleet file has it, {len(plan.images)} images:"] if plan.is_grouped else []),
            *(_totals(measured.images) if plan.is_grouped else ()),
            *([f"note: {measured.unknown}"] if measured.unknown else []),
            f"{len(plan.fleet.agents)} agents = {sum(len(image.agents) for image in plan.proposed)} in "
            f"{len(plan.proposed)} proposed images",
        ]
    )


def _rows(images: list[Image], weights: Weights) -> Iterator[str]:
    width = max(len(image.name) for image in images)
    for image in images:
        gpu = f"  gpu {image.gpu}" if image.gpu else ""
        counts = (
            f"{len(image.agents):>3} agents {len(image.files):>4} files {len(image.packages):>3} packages"
        )
        yield f"{image.name:<{width}} {counts}{gpu}{_weighed(weights.each[image.name])}"
        heavy = sorted(HEAVY & set(image.packages))
        if heavy:
            yield f"{'':<{width}} heavy: {', '.join(heavy)}"


def _weighed(weight: Weight) -> str:
    wheels = f"  wheels {_mb(weight.wheels_bytes)}" if weight.wheels_bytes is not None else ""
    built = f"  {_mb(weight.built_bytes)} when built last" if weight.built_bytes is not None else ""
    return wheels + built


def _totals(weights: Weights) -> Iterator[str]:
    """Yield what groups take together; nothing for what is not known of all of them."""
    once, alone = weights.once, weights.alone
    if once.wheels_bytes is not None and alone.wheels_bytes is not None:
        shared = f"{_mb(once.wheels_bytes)}, {_mb(alone.wheels_bytes)} if nothing were shared"
        yield f"wheels of the lock: {shared}"
    if once.built_bytes is not None and alone.built_bytes is not None:
        yield f"as built: {_mb(once.built_bytes)}, {_mb(alone.built_bytes)} if nothing were shared"


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"


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
