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
from argosy.image.lock.image_lock import LOCK_FILE, ImageLock, read_lock
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
    wheel_sizes: dict[str, Mapping[str, int] | None] = {}
    records: dict[str, BuiltImageEntry | None] = {}
    for image in images:
        wheel_sizes[image.name] = None if lock is None else _wheel_sizes(image, lock)
        records[image.name] = _record_of(image, record)
    layers = [None if entry is None else _layer_sizes(entry) for entry in records.values()]
    each = {
        name: ImageSize(_total(wheels), None if (entry := records[name]) is None else entry.unpacked_bytes)
        for name, wheels in wheel_sizes.items()
    }
    return GroupSizes(
        by_name=each,
        deduplicated=ImageSize(_deduplicated_sum(wheel_sizes.values()), _deduplicated_sum(layers)),
        unshared=ImageSize(
            _sum_if_all([size.wheels_bytes for size in each.values()]),
            _sum_if_all([size.built_bytes for size in each.values()]),
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


def _total(parts: Mapping[str, int] | None) -> int | None:
    return None if parts is None else sum(parts.values())


def _deduplicated_sum(groups: Collection[Mapping[str, int] | None]) -> int | None:
    """Return the sum of all parts of all groups, each counted once; None when one is not known."""
    sizes: dict[str, int] = {}
    for group in groups:
        if group is None:
            return None
        sizes.update(group)
    return sum(sizes.values()) if groups else None


def _sum_if_all(values: Collection[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if values and len(known) == len(values) else None
