"""A lock for each machine: the packages of agents that run there without containers.

It is a part of the fleet's lock with the same versions and digests, as a requirements file for pip.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from argosy.image.content.debian import PYTHON, DebianPackage
from argosy.image.content.staging import write_atomic
from argosy.image.content.wheels import Wheel
from argosy.image.lock.image_lock import ImageLock
from argosy.image.plan.image_plan import Image, ImagePlan


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
            system=tuple(_system_packages(images, lock)),
        )
        for machine in plan.fleet.machines
        if (images := [image for image in plan.images.values() if image.machine == machine])
        and (not only or all(image.name in only for image in images))
    )


def write_machine_locks(locks: Iterable[MachineLock]) -> None:
    """Write each lock to its path."""
    for lock in locks:
        write_atomic(lock.path, lock.requirements_text().encode())


def _system_packages(images: Iterable[Image], lock: ImageLock) -> Iterator[DebianPackage]:
    """Yield the Debian packages that images name; apt resolves their dependencies."""
    for name in sorted({name for image in images for name in image.system}):
        yield from (package for package in lock.system[name] if package.name == name)
