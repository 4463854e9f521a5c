"""Renders the plan of images, and the results of lock, build and push, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from argosy.fault import Fault, InputError
from argosy.fleet.suggestions import closest_match
from argosy.image.build.build_pipeline import BuildResult, LockResult
from argosy.image.build.image_size import GroupSizes, ImageSize, PlanSizes
from argosy.image.plan.agent_imports import PackageUse
from argosy.image.plan.image_plan import (
    AmbiguousModule,
    Image,
    ImagePlan,
    MissingPackage,
    PulledInPackage,
)
from argosy.image.plan.known_packages import HEAVY_PACKAGES
from argosy.image.plan.metric_only_imports import ALTERNATIVE
from argosy.image.registry.push import PushedImage
from argosy.source.distributions import normalize_name

_MAX_LISTED = 6


def plan_json(plan: ImagePlan, measured: PlanSizes) -> dict[str, Any]:
    """Return `image-plan/1`."""
    return {
        "argosy": "image-plan/1",
        "fleet": plan.fleet.name,
        "agents": len(plan.fleet.agents),
        "images": {
            image.name: {**_image_json(image, measured.images), "system": image.system, "files": image.files}
            for image in plan.images.values()
        },
        "unused": {name: {"where": places} for name, places in plan.unused.items()},
        "missing": {
            item.package: {"modules": item.modules, "agents": item.agents, "where": _location(item.first_use)}
            for item in plan.missing.values()
        },
        "tools": {name: {"where": places} for name, places in plan.tools.items()},
        "unread": plan.unread,
        "questions": {
            item.module: {"agents": item.agents, "where": _location(item.first_use)}
            for item in plan.ambiguous_modules.values()
        },
        "elsewhere": plan.other_systems,
        "statistics": [
            {
                "agent": agent,
                "package": package,
                "takes": {item.path: item.names_used for item in items},
                "instead": ALTERNATIVE,
            }
            for agent, package, items in plan.metric_only_imports
        ],
        "because": [_pulled_in_json(item) for item in plan.pulled_in],
        "proposed": [
            {"name": image.name, **_image_json(image, measured.proposed)} for image in plan.proposed
        ],
        "weights": {
            "images": _sizes_json(measured.images),
            "proposed": _sizes_json(measured.proposed),
            "unknown": measured.unknown_reason,
        },
        "notes": plan.notes,
    }


def _image_json(image: Image, sizes: GroupSizes) -> dict[str, Any]:
    size = sizes.by_name[image.name]
    return {
        "agents": image.agents,
        "packages": image.packages,
        "gpu": image.gpu,
        "size": size.built_bytes,
        "wheels": size.wheels_bytes,
        "machine": image.machine,
    }


def _sizes_json(sizes: GroupSizes) -> dict[str, Any]:
    return {
        "size": sizes.deduplicated.built_bytes,
        "size_alone": sizes.unshared.built_bytes,
        "wheels": sizes.deduplicated.wheels_bytes,
        "wheels_alone": sizes.unshared.wheels_bytes,
    }


def _pulled_in_json(item: PulledInPackage) -> dict[str, Any]:
    return {
        "agent": item.agent,
        "package": item.package,
        "how": item.source,
        "module": item.use.module,
        "where": _location(item.use),
        "when": item.use.conditions,
        "way": item.use.import_chain,
        "statistic": item.is_metric_only,
    }


def _location(use: PackageUse) -> str:
    return f"{use.path}:{use.line}"


def plan_text(plan: ImagePlan, measured: PlanSizes) -> str:
    """Return the plan as text: the images, then the causes of heavy packages, then mismatches."""
    proposed = [] if plan.is_grouped else ["proposed by imports, since the fleet file has no groups:"]
    return "\n".join(
        [
            *proposed,
            *_image_lines(list(plan.images.values()), measured.images),
            *_total_lines(measured.images),
            *([f"note: {measured.unknown_reason}"] if measured.unknown_reason and proposed else []),
            *_heavy_lines(plan),
            *_section(
                "installed, and imported by no agent",
                (f"{name} ({_abbreviated_list(places, 2)})" for name, places in plan.unused.items()),
            ),
            *_section(
                "imported, and in no requirement file",
                (f"{item.package}: {_users_text(item)}" for item in plan.missing.values()),
            ),
            *_section("partly unread", (f"{name}: {why}" for name, why in plan.unread.items())),
            *_section(
                "ambiguous, the package has to be named",
                (f"`{item.module}`: {_users_text(item)}" for item in plan.ambiguous_modules.values()),
            ),
            *_section(
                "for other systems, in no image",
                (f"{name}: {_abbreviated_list(agents)}" for name, agents in plan.other_systems.items()),
            ),
            *(f"note: {note}" for note in plan.notes),
            _summary_line(plan),
        ]
    )


def proposal_text(plan: ImagePlan, measured: PlanSizes) -> str:
    """Return as text the groups that the imports suggest, and their sizes next to the file's groups."""
    return "\n".join(
        [
            *_image_lines(list(plan.proposed), measured.proposed),
            *_total_lines(measured.proposed),
            *([f"in the fleet file, {len(plan.images)} images:"] if plan.is_grouped else []),
            *(_total_lines(measured.images) if plan.is_grouped else ()),
            *([f"note: {measured.unknown_reason}"] if measured.unknown_reason else []),
            f"{len(plan.fleet.agents)} agents = {sum(len(image.agents) for image in plan.proposed)} in "
            f"{len(plan.proposed)} proposed images",
        ]
    )


def _image_lines(images: list[Image], sizes: GroupSizes) -> Iterator[str]:
    width = max(len(image.name) for image in images)
    for image in images:
        gpu = f"  gpu {image.gpu}" if image.gpu else ""
        counts = (
            f"{len(image.agents):>3} agents {len(image.files):>4} files {len(image.packages):>3} packages"
        )
        yield f"{image.name:<{width}} {counts}{gpu}{_size_text(sizes.by_name[image.name])}"
        heavy = sorted(HEAVY_PACKAGES & set(image.packages))
        if heavy:
            yield f"{'':<{width}} heavy: {', '.join(heavy)}"


def _size_text(size: ImageSize) -> str:
    wheels = f"  wheels {_megabytes(size.wheels_bytes)}" if size.wheels_bytes is not None else ""
    built = f"  {_megabytes(size.built_bytes)} when built last" if size.built_bytes is not None else ""
    return wheels + built


def _total_lines(sizes: GroupSizes) -> Iterator[str]:
    """Yield the total sizes of groups; nothing for a size that is not known of all of them."""
    shared_total, unshared_total = sizes.deduplicated, sizes.unshared
    if shared_total.wheels_bytes is not None and unshared_total.wheels_bytes is not None:
        unshared = _megabytes(unshared_total.wheels_bytes)
        yield f"wheels of the lock: {_megabytes(shared_total.wheels_bytes)}, {unshared} without sharing"
    if shared_total.built_bytes is not None and unshared_total.built_bytes is not None:
        unshared = _megabytes(unshared_total.built_bytes)
        yield f"as built: {_megabytes(shared_total.built_bytes)}, {unshared} without sharing"


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"


def _heavy_lines(plan: ImagePlan) -> Iterator[str]:
    yield from _section("causes of heavy packages", _pulled_in_lines(plan))
    metric_only = []
    for agent, package, items in plan.metric_only_imports:
        names = _abbreviated_list(sorted({name for item in items for name in item.names_used}))
        metric_only.append(f"{agent}: `{package}` ({names or 'uses no name of it'})")
    yield from _section(f"imported for a metric only, which `{ALTERNATIVE}` provides too", metric_only)


def _pulled_in_lines(plan: ImagePlan) -> Iterator[str]:
    packages = sorted({item.package for item in plan.pulled_in} & HEAVY_PACKAGES)
    for package in packages:
        items = [item for item in plan.pulled_in if item.package == package]
        agents = list(dict.fromkeys(item.agent for item in items))
        first = min(items, key=lambda item: (bool(item.use.conditions), len(item.use.import_chain), item.use))
        yield f"{package}: {_abbreviated_list(agents)}; first {_location(first.use)}"


def _users_text(item: MissingPackage | AmbiguousModule) -> str:
    return f"{_abbreviated_list(item.agents)}; {_location(item.first_use)}"


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    found = list(lines)
    if found:
        yield from ("", f"{title}: {len(found)}", *(f"  {line}" for line in found))


def _summary_line(plan: ImagePlan) -> str:
    total = len(plan.fleet.agents)
    placed = sum(len(image.agents) for image in plan.images.values())
    gpu = sum(image.gpu is not None for image in plan.images.values())
    return (
        f"\n{total} agents = {placed} in {len(plan.images)} images ({gpu} with a GPU); {len(plan.unread)} "
        f"partly unread; {len(plan.unused)} packages unused, {len(plan.missing)} missing, "
        f"{len(plan.ambiguous_modules)} ambiguous"
    )


def import_reasons_text(plan: ImagePlan, package: str) -> str:
    """Return every import of one package: agent, file and line, circumstances, and the way there.

    Raises InputError: no agent imports it.
    """
    name = normalize_name(package)
    items = [item for item in plan.pulled_in if name in (item.package, normalize_name(item.use.top))]
    if not items:
        near = closest_match(name, sorted({item.package for item in plan.pulled_in}))
        hint = f"did you mean `{near}`?" if near else "`argosy image plan --json` lists all packages"
        raise InputError(Fault("--package", "unknown-package", f"no agent imports `{package}`", hint))
    return "\n".join(map(_import_reason, items))


def _import_reason(item: PulledInPackage) -> str:
    when = f" ({', '.join(item.use.conditions)})" if item.use.conditions else ""
    chain = f" by {' -> '.join(item.use.import_chain)}" if item.use.import_chain else ""
    statistic = "; for a metric only" if item.is_metric_only else ""
    return f"{item.agent}: {_location(item.use)} imports `{item.use.module}`{when}{chain}{statistic}"


def _abbreviated_list(names: Iterable[str], limit: int = _MAX_LISTED) -> str:
    found = list(names)
    more = f" and {len(found) - limit} more" if len(found) > limit else ""
    return ", ".join(found[:limit]) + more


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
