"""The sizes of groups on disk: from the lock before a build, and from the images after it.

The lock has the bytes of each wheel's files. The size of the rest of an image (Python, argosy, libraries of
Debian, bytecode, the application) is known only once it has been built.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import msgspec

from argosy.fault import InputError
from argosy.image.build.build_record import BuildRecord, BuiltImageEntry, read_build_record
from argosy.image.lock import LOCK_FILE, ImageLock, read_lock
from argosy.image.plan.container_plan import sum_if_all
from argosy.image.plan.image_plan import RUNTIME_PACKAGE, Image, ImagePlan

_LOCK_HINT = "`argosy image lock` updates it"


class ImageSize(msgspec.Struct, frozen=True):
    """The size of one group, or of several together; None where it is not known.

    wheels_bytes: the files of its wheels, from the wheels' zip directories. built_bytes: all files of its
    image, from the image of the same agents that was built last.
    """

    wheels_bytes: int | None = None
    built_bytes: int | None = None


class GroupSizes(msgspec.Struct, frozen=True):
    """The sizes of some groups.

    by_name: each group. deduplicated: all groups, shared parts counted once. unshared: the sum.
    """

    by_name: dict[str, ImageSize]
    deduplicated: ImageSize
    unshared: ImageSize


class PlanSizes(msgspec.Struct, frozen=True):
    """The known sizes of a plan.

    images: of the fleet's own groups. proposed: of the groups proposed from imports. unknown_reason: why the
    wheel sizes of some groups are not known; empty when all are known.
    """

    images: GroupSizes
    proposed: GroupSizes
    unknown_reason: str


def measure_plan(plan: ImagePlan) -> PlanSizes:
    """Return the sizes from the lock and the images beside a fleet file; never raises for these files."""
    root = Path(plan.fleet.path).parent
    record = read_build_record(root)
    try:
        lock = read_lock(root / LOCK_FILE)
        unknown_reason = _missing_sizes(plan, lock)
    except InputError as error:
        lock, unknown_reason = None, f"{error.faults[0].message}; {error.faults[0].hint}"
    except OSError as error:
        lock, unknown_reason = None, f"`{LOCK_FILE}` cannot be read: {error.strerror}"
    return PlanSizes(
        images=measure_images(plan.images.values(), lock, record),
        proposed=measure_images(plan.proposed, lock, record),
        unknown_reason=unknown_reason,
    )


def measure_images(images: Iterable[Image], lock: ImageLock | None, record: BuildRecord) -> GroupSizes:
    """Return the sizes of images, each and all together. lock: None when there is none."""
    by_name: dict[str, ImageSize] = {}
    wheels: list[Mapping[str, int] | None] = []
    layers: list[Mapping[str, int] | None] = []
    for image in images:
        sizes, entry = _wheel_sizes(image, lock) if lock else None, _record_of(image, record)
        wheels.append(sizes)
        layers.append(_layer_sizes(entry) if entry else None)
        by_name[image.name] = ImageSize(
            None if sizes is None else sum(sizes.values()), entry.unpacked_bytes if entry else None
        )
    return GroupSizes(
        by_name=by_name,
        deduplicated=ImageSize(_deduplicated_sum(wheels), _deduplicated_sum(layers)),
        unshared=ImageSize(
            sum_if_all([size.wheels_bytes for size in by_name.values()]),
            sum_if_all([size.built_bytes for size in by_name.values()]),
        ),
    )


def _missing_sizes(plan: ImagePlan, lock: ImageLock) -> str:
    """Return why a lock lacks wheel sizes of a plan, empty when it has all."""
    sizes = {wheel.name: wheel.unpacked_bytes for wheel in lock.wheels}
    wanted = {name for image in plan.images.values() for name in image.packages} - {RUNTIME_PACKAGE}
    missing = sorted(wanted - sizes.keys())
    if missing:
        return f"`{LOCK_FILE}` lacks {', '.join(f'`{name}`' for name in missing)}; {_LOCK_HINT}"
    return "" if all(sizes.values()) else f"`{LOCK_FILE}` has no sizes of its wheels; {_LOCK_HINT}"


def _wheel_sizes(image: Image, lock: ImageLock) -> Mapping[str, int] | None:
    """Return the bytes of each wheel of an image, None when the lock lacks one."""
    sizes = {wheel.name: wheel.unpacked_bytes for wheel in lock.wheels_for(image.packages)}
    is_complete = set(image.packages) - {RUNTIME_PACKAGE} <= sizes.keys() and all(sizes.values())
    return sizes if is_complete else None


def _record_of(image: Image, record: BuildRecord) -> BuiltImageEntry | None:
    """Return the built image of the same agents: the one of the same name, else any."""
    own = record.images.get(image.name)
    found = [own] if own is not None else []
    found += record.images.values()
    return next((entry for entry in found if set(entry.agents) == set(image.agents)), None)


def _layer_sizes(entry: BuiltImageEntry) -> Mapping[str, int] | None:
    """Return the unpacked bytes of each layer, None when an older record lacks them."""
    if len(entry.layer_bytes) != len(entry.layers):
        return None
    return dict(zip(entry.layers, entry.layer_bytes, strict=True))


def _deduplicated_sum(groups: Collection[Mapping[str, int] | None]) -> int | None:
    """Return the sum of all parts of all groups, each counted once; None when one is not known."""
    sizes: dict[str, int] = {}
    for group in groups:
        if group is None:
            return None
        sizes.update(group)
    return sum(sizes.values()) if groups else None
