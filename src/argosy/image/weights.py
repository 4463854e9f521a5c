"""What groups take on a disk: by the lock before anything is built, and by the images once they are.

The lock knows of each wheel how many bytes its files are. What else is in an image (Python, argosy, libraries
of Debian, bytecode, the application) is only known of one that was built.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import msgspec

from argosy.fault import InputError
from argosy.image.lock import FILE, Lock, read_lock
from argosy.image.plan import RUNTIME, Image, ImagePlan
from argosy.image.record import Entry, Record, read_record

_HINT = "`argosy image lock` writes it anew"


class Weight(msgspec.Struct, frozen=True):
    """What one group takes, or several together; None is what nobody has measured.

    wheels_bytes: the files of its wheels, by the wheels' own directories. built_bytes: all files of its
    image, read from the image that was built last of the same agents.
    """

    wheels_bytes: int | None = None
    built_bytes: int | None = None


class Weights(msgspec.Struct, frozen=True):
    """What some groups take.

    each: by name. once: together, where what they share counts once. alone: the sum.
    """

    each: dict[str, Weight]
    once: Weight
    alone: Weight


class Measured(msgspec.Struct, frozen=True):
    """What is known of the sizes of a plan.

    images: of the fleet's own groups; proposed: of those that what is imported would make. unknown: why the
    wheels of some are not known, an empty text where all are.
    """

    images: Weights
    proposed: Weights
    unknown: str


def measure_plan(plan: ImagePlan) -> Measured:
    """Return the sizes that the lock and the images beside a fleet file tell; never raises for these."""
    root = Path(plan.fleet.path).parent
    record = read_record(root)
    try:
        lock = read_lock(root / FILE)
        unknown = _gaps(plan, lock)
    except InputError as error:
        lock, unknown = None, f"{error.faults[0].message}; {error.faults[0].hint}"
    except OSError as error:
        lock, unknown = None, f"`{FILE}` cannot be read: {error.strerror}"
    return Measured(
        images=weigh(plan.images.values(), lock, record),
        proposed=weigh(plan.proposed, lock, record),
        unknown=unknown,
    )


def weigh(images: Iterable[Image], lock: Lock | None, record: Record) -> Weights:
    """Return what images take, each and all together. lock: None where there is none to ask."""
    held: dict[str, Mapping[str, int] | None] = {}
    built: dict[str, Entry | None] = {}
    for image in images:
        held[image.name] = None if lock is None else _wheels_of(image, lock)
        built[image.name] = _built_of(image, record)
    layers = [None if entry is None else _layers_of(entry) for entry in built.values()]
    each = {
        name: Weight(_total(wheels), None if (entry := built[name]) is None else entry.unpacked_bytes)
        for name, wheels in held.items()
    }
    return Weights(
        each=each,
        once=Weight(_once(held.values()), _once(layers)),
        alone=Weight(
            _sum([weight.wheels_bytes for weight in each.values()]),
            _sum([weight.built_bytes for weight in each.values()]),
        ),
    )


def _gaps(plan: ImagePlan, lock: Lock) -> str:
    """Return what a lock does not tell of a plan's wheels, an empty text where it tells all."""
    sizes = {wheel.name: wheel.unpacked_bytes for wheel in lock.wheels}
    wanted = {name for image in plan.images.values() for name in image.packages} - {RUNTIME}
    lacking = sorted(wanted - sizes.keys())
    if lacking:
        return f"`{FILE}` lacks {', '.join(f'`{name}`' for name in lacking)}; {_HINT}"
    return "" if all(sizes.values()) else f"`{FILE}` does not tell how large its wheels are; {_HINT}"


def _wheels_of(image: Image, lock: Lock) -> Mapping[str, int] | None:
    """Return the bytes of each wheel of an image, None where the lock does not tell them all."""
    sizes = {wheel.name: wheel.unpacked_bytes for wheel in lock.wheels_for(image.packages)}
    is_whole = set(image.packages) - {RUNTIME} <= sizes.keys() and all(sizes.values())
    return sizes if is_whole else None


def _built_of(image: Image, record: Record) -> Entry | None:
    """Return the built image of the same agents: that of the same name, else any."""
    own = record.images.get(image.name)
    found = [own] if own is not None else []
    found += record.images.values()
    return next((entry for entry in found if set(entry.agents) == set(image.agents)), None)


def _layers_of(entry: Entry) -> Mapping[str, int] | None:
    """Return the unpacked bytes of each layer, None where an older record does not tell them."""
    if len(entry.layer_bytes) != len(entry.layers):
        return None
    return dict(zip(entry.layers, entry.layer_bytes, strict=True))


def _total(parts: Mapping[str, int] | None) -> int | None:
    return None if parts is None else sum(parts.values())


def _once(groups: Collection[Mapping[str, int] | None]) -> int | None:
    """Return the sum of all parts of all groups, each counted once; None where one is not known."""
    every: dict[str, int] = {}
    for group in groups:
        if group is None:
            return None
        every.update(group)
    return sum(every.values()) if groups else None


def _sum(values: Collection[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if values and len(known) == len(values) else None
