"""The lock of a fleet's images: every Debian package and every wheel, with version and digest.

The file is beside the fleet file and belongs in version control. The same lock gives the same images, in any
folder and on any day. It names no package index.

The lock of a machine is for agents that run there without containers: a part of the fleet's lock with the
same versions and digests, as a requirements file for pip.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from argosy.fault import Fault, InputError
from argosy.image.content.debian import BASE_PACKAGES, PYTHON, DebianPackage, resolve_packages
from argosy.image.content.staging import write_atomic
from argosy.image.content.wheels import Wheel, WheelCache, required_closure
from argosy.image.plan.image_plan import RUNTIME_PACKAGE, Image, ImagePlan, runtime_packages

LOCK_FILE: Final = "images.lock"
_LOCK_VERSION: Final = "image-lock/1"


class ImageLock(msgspec.Struct, frozen=True):
    """The packages that images are built from.

    requested: distributions that agents import; the other wheels are their dependencies. base: Debian
    packages of every image. system: for each system library of the plan, its Debian packages.
    """

    argosy: str
    python: str
    requested: tuple[str, ...]
    base: tuple[DebianPackage, ...]
    system: dict[str, tuple[DebianPackage, ...]]
    wheels: tuple[Wheel, ...]

    def wheels_for(self, packages: tuple[str, ...]) -> tuple[Wheel, ...]:
        """Return the wheels of an image with `packages`, sorted by name."""
        by_name = {wheel.name: wheel for wheel in self.wheels}
        names = required_closure({*packages, *runtime_packages()}, by_name)
        return tuple(by_name[name] for name in sorted(names))


def requested_packages(plan: ImagePlan, only: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the distributions that images contain, without argosy. only: these images; empty for all."""
    found = {name for image in plan.select(only) for name in image.packages} - {RUNTIME_PACKAGE}
    return tuple(sorted(found | set(runtime_packages())))


def resolve_lock(plan: ImagePlan, cache: Path, only: tuple[str, ...] = ()) -> ImageLock:
    """Resolve the packages of the images with apt and pip; raises as `resolve_packages` and `WheelCache`."""
    requested = requested_packages(plan, only)
    return ImageLock(
        argosy=_LOCK_VERSION,
        python=PYTHON,
        requested=requested,
        base=resolve_packages(BASE_PACKAGES),
        system={name: resolve_packages([name]) for name in _system_libraries(plan.select(only))},
        wheels=WheelCache(cache).resolve(requested),
    )


def write_lock(lock: ImageLock, path: Path) -> None:
    """Write a lock with one line for each package, so that diffs stay small."""
    value = msgspec.to_builtins(lock)
    line_keys = {"base", "wheels"}
    parts = []
    for key, item in value.items():
        if key in line_keys:
            lines = ",\n".join("  " + msgspec.json.encode(row).decode() for row in item)
            parts.append(f'"{key}": [\n{lines}\n]')
        else:
            parts.append(f'"{key}": {msgspec.json.encode(item).decode()}')
    write_atomic(path, ("{" + ",\n".join(parts) + "}\n").encode())


def read_lock(path: Path) -> ImageLock:
    """Return the lock in a file. Raises InputError: there is no such file, or it is not a lock."""
    hint = "`argosy image lock` writes one"
    try:
        value = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        if "asked" in value:  # the name of `requested` in earlier versions
            value["requested"] = value.pop("asked")
        lock = msgspec.convert(value, ImageLock)
    except FileNotFoundError as error:
        raise InputError(Fault(str(path), "no-lock", f"there is no lock `{path}`", hint)) from error
    except msgspec.MsgspecError as error:
        raise InputError(Fault(str(path), "lock", f"not a lock of images: {error}", hint)) from error
    if lock.argosy != _LOCK_VERSION or lock.python != PYTHON:
        found = f"{lock.argosy} for Python {lock.python}"
        message = f"found {found}, expected {_LOCK_VERSION} for Python {PYTHON}"
        raise InputError(Fault(str(path), "lock", message, hint))
    return lock


def check_lock(lock: ImageLock, plan: ImagePlan, path: Path, only: tuple[str, ...] = ()) -> None:
    """Raise InputError: agents import packages that are not in the lock."""
    locked = {wheel.name for wheel in lock.wheels}
    missing = [name for name in requested_packages(plan, only) if name not in locked]
    missing += [name for name in _system_libraries(plan.select(only)) if name not in lock.system]
    if missing:
        message = f"the lock lacks {', '.join(f'`{name}`' for name in missing)}"
        raise InputError(Fault(str(path), "lock-outdated", message, "`argosy image lock` updates it"))


class MachineLock(msgspec.Struct, frozen=True):
    """The packages that the agents of one machine need. system: Debian packages that the wheels load."""

    machine: str
    path: Path
    agents: tuple[str, ...]
    wheels: tuple[Wheel, ...]
    system: tuple[DebianPackage, ...]

    def requirements_text(self) -> str:
        """Return a requirements file with digests; the same lock always gives the same text."""
        count = "1 agent" if len(self.agents) == 1 else f"{len(self.agents)} agents"
        lines = [
            f"# Written by `argosy image lock`: what {count} of `{self.machine}` need, without argosy.",
            f"# Wheels are for Python {PYTHON} on Linux (x86-64). To install them:",
            f"#   pip install --require-hashes --no-deps --only-binary :all: -r {self.path.name}",
            *(f"# Debian: {package.name}={package.version}" for package in self.system),
            *(wheel.requirement for wheel in self.wheels),
        ]
        return "\n".join(lines) + "\n"


def lock_machines(plan: ImagePlan, lock: ImageLock, only: tuple[str, ...] = ()) -> tuple[MachineLock, ...]:
    """Return the lock of each machine that has agents.

    only: the images that the lock is for, empty for all; a machine with another image gets no lock.
    """
    folder = Path(plan.fleet.path).parent
    return tuple(
        MachineLock(
            machine=machine,
            path=folder / f"images.{machine}.lock",
            agents=tuple(name for image in images for name in image.agents),
            wheels=lock.wheels_for(tuple(sorted({name for image in images for name in image.packages}))),
            # apt resolves the dependencies of these
            system=tuple(
                package
                for name in _system_libraries(images)
                for package in lock.system[name]
                if package.name == name
            ),
        )
        for machine in plan.fleet.machines
        if (images := [image for image in plan.images.values() if image.machine == machine])
        and (not only or all(image.name in only for image in images))
    )


def write_machine_locks(locks: Iterable[MachineLock]) -> None:
    """Write each lock to its path."""
    for lock in locks:
        write_atomic(lock.path, lock.requirements_text().encode())


def _system_libraries(images: Iterable[Image]) -> list[str]:
    """Return the Debian packages that images name."""
    return sorted({name for image in images for name in image.system})
