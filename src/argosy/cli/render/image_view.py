"""Renders the plan of images as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from argosy.fault import Fault, InputError
from argosy.fleet.suggestions import closest_match
from argosy.image.build.image_size import GroupSizes, ImageSize, PlanSizes
from argosy.image.plan.agent_imports import PackageUse
from argosy.image.plan.image_plan import Image, ImagePlan, PulledInPackage
from argosy.image.plan.known_packages import HEAVY_PACKAGES
from argosy.image.plan.metric_only_imports import ALTERNATIVE
from argosy.source.distributions import normalize_name

_MAX_LISTED = 6


def plan_json(plan: ImagePlan, measured: PlanSizes) -> dict[str, Any]:
    """Return `image-plan/1`."""
    return {
        "argosy": "image-plan/1",
        "fleet": plan.fleet.name,
        "agents": len(plan.fleet.agents),
        "images": {image.name: _image_json(image, measured) for image in plan.images.values()},
        "unused": {name: {"where": places} for name, places in plan.unused.items()},
        "missing": {
            item.package: {
                "modules": item.modules,
                "agents": item.agents,
                "where": _location(item.first_use),
            }
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
        "proposed": [_proposed_json(image, measured.proposed) for image in plan.proposed],
        "weights": {
            "images": _sizes_json(measured.images),
            "proposed": _sizes_json(measured.proposed),
            "unknown": measured.unknown_reason,
        },
        "notes": plan.notes,
    }


def _image_json(image: Image, measured: PlanSizes) -> dict[str, Any]:
    size = measured.images.by_name[image.name]
    return {
        "agents": image.agents,
        "packages": image.packages,
        "gpu": image.gpu,
        "size": size.built_bytes,
        "wheels": size.wheels_bytes,
        "machine": image.machine,
        "system": image.system,
        "files": image.files,
    }


def _proposed_json(image: Image, sizes: GroupSizes) -> dict[str, Any]:
    size = sizes.by_name[image.name]
    return {
        "name": image.name,
        "machine": image.machine,
        "agents": image.agents,
        "packages": image.packages,
        "gpu": image.gpu,
        "size": size.built_bytes,
        "wheels": size.wheels_bytes,
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
            *(
                [f"note: {measured.unknown_reason}"]
                if measured.unknown_reason and not plan.is_grouped
                else []
            ),
            *_heavy_lines(plan),
            *_section("installed, and imported by no agent", _unused_lines(plan)),
            *_section("imported, and in no requirement file", _missing_lines(plan)),
            *_section("partly unread", (f"{name}: {why}" for name, why in plan.unread.items())),
            *_section("ambiguous, the package has to be named", _ambiguous_lines(plan)),
            *_section("for other systems, in no image", _other_system_lines(plan)),
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
    metric_only = [
        f"{agent}: `{package}` ({_names_used(items)})" for agent, package, items in plan.metric_only_imports
    ]
    yield from _section(f"imported for a metric only, which `{ALTERNATIVE}` provides too", metric_only)


def _names_used(items: Iterable[Any]) -> str:
    names = sorted({name for item in items for name in item.names_used})
    return _abbreviated_list(names) if names else "uses no name of it"


def _pulled_in_lines(plan: ImagePlan) -> Iterator[str]:
    packages = sorted({item.package for item in plan.pulled_in} & HEAVY_PACKAGES)
    for package in packages:
        items = [item for item in plan.pulled_in if item.package == package]
        agents = list(dict.fromkeys(item.agent for item in items))
        first = min(items, key=lambda item: (bool(item.use.conditions), len(item.use.import_chain), item.use))
        yield f"{package}: {_abbreviated_list(agents)}; first {_location(first.use)}"


def _unused_lines(plan: ImagePlan) -> Iterator[str]:
    for name, places in plan.unused.items():
        yield f"{name} ({_abbreviated_list(places, 2)})"


def _missing_lines(plan: ImagePlan) -> Iterator[str]:
    for item in plan.missing.values():
        yield f"{item.package}: {_abbreviated_list(item.agents)}; {_location(item.first_use)}"


def _ambiguous_lines(plan: ImagePlan) -> Iterator[str]:
    for item in plan.ambiguous_modules.values():
        yield f"`{item.module}`: {_abbreviated_list(item.agents)}; {_location(item.first_use)}"


def _other_system_lines(plan: ImagePlan) -> Iterator[str]:
    for name, agents in plan.other_systems.items():
        yield f"{name}: {_abbreviated_list(agents)}"


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
