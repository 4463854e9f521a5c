"""From a plan to images on the disk: lock, build, prove, name, record, in this order."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from argosy.fault import Fault, InputError
from argosy.fleet.spelling import suggestion
from argosy.image.base import read_base
from argosy.image.blobs import Compression, Store
from argosy.image.build import Builder, Built, write_layout
from argosy.image.containers import lay_out
from argosy.image.disk import on_disk
from argosy.image.lock import FILE as LOCK_FILE
from argosy.image.lock import Lock, check_lock, make_lock, read_lock, write_lock
from argosy.image.machinelock import MachineLock, lock_machines, write_machine_locks
from argosy.image.plan import ImagePlan
from argosy.image.proof import Proof, Prover
from argosy.image.record import FOLDER, Record, write_record
from argosy.image.whole import held, sweep


class Order(msgspec.Struct, frozen=True):
    """What is to be built. only: these images; empty for all. folder: of the layout; see `record.FOLDER`.

    base: `LAYOUT[:NAME]` of an image to build upon; empty for the one from Debian's packages.
    """

    only: tuple[str, ...] = ()
    folder: Path | None = None
    tag: str = "latest"
    compression: Compression = "zstd"
    is_proven: bool = True
    base: str = ""


class Locked(msgspec.Struct, frozen=True):
    """What was locked: for the images, and for each machine a part of that."""

    path: Path
    lock: Lock
    machines: tuple[MachineLock, ...]


class Outcome(msgspec.Struct, frozen=True):
    """What was built. unnamed: images that have no name in the layout, since their proof failed."""

    folder: Path
    built: tuple[Built, ...]
    proofs: dict[str, Proof]
    record: Record

    @property
    def unnamed(self) -> tuple[str, ...]:
        return tuple(name for name, proof in self.proofs.items() if not proof.is_good)


def cache_folder() -> Path:
    """Return where wheels, packages, layers and bytecode are kept between builds."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "argosy" / "images"


def _swept(cache: Path) -> Path:
    """Take away what killed builds left half made in the cache."""
    for folder in (cache, *cache.glob("*/"), cache / "blobs" / "sha256"):
        sweep(folder)
    return cache


def lock_path(plan: ImagePlan) -> Path:
    """Return where a fleet's lock stands: beside its file."""
    return Path(plan.fleet.path).parent / LOCK_FILE


def lock_images(plan: ImagePlan, only: tuple[str, ...] = ()) -> Locked:
    """Write the lock of a plan anew, and that of each machine; raises as apt and pip do."""
    check_names(plan, only)
    path = lock_path(plan)
    with on_disk(cache_folder(), path.parent):
        lock = make_lock(plan, _swept(cache_folder()), only)
        write_lock(lock, path)
        machines = lock_machines(plan, lock, only)
        write_machine_locks(machines)
    return Locked(path, lock, machines)


def build_images(plan: ImagePlan, order: Order, tell: Callable[[str], None]) -> Outcome:
    """Build images, run each, and name those that are good; a missing lock is written first.

    tell: takes a line for each step. Raises as what is used does: InputError for names and locks,
    MissingError for programs, RefusedError for what cannot be fetched.
    """
    check_names(plan, order.only)
    folder = order.folder or Path(plan.fleet.path).parent / FOLDER
    _check_folder(folder)
    with on_disk(cache_folder(), folder):
        return _build_images(plan, order, folder, tell)


def _check_folder(folder: Path) -> None:
    """Raise InputError: a layout cannot be written there; told before anything is built."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists() or each.is_symlink())
    if not there.is_dir():
        message = f"`{folder}` cannot be a folder: `{there}` is none"
        raise InputError(Fault("-o", "layout-folder", message, "`-o DIR` names another"))
    if not os.access(there, os.W_OK):
        message = f"`{folder}` cannot be written: no right to write to `{there}`"
        raise InputError(Fault("-o", "layout-folder", message, "`-o DIR` names another"))


def _build_images(plan: ImagePlan, order: Order, folder: Path, tell: Callable[[str], None]) -> Outcome:
    store = Store(_swept(cache_folder()), order.compression)
    containers = lay_out(plan)
    prover = Prover(store, cache_folder(), containers) if order.is_proven else None
    given = read_base(order.base, store) if order.base else None
    path = lock_path(plan)
    if not path.exists():
        tell(f"writing `{LOCK_FILE}`: there was none")
        lock_images(plan, order.only)
    lock = read_lock(path)
    check_lock(lock, plan, path, order.only)
    builder = Builder(containers, lock, store, cache_folder(), given)
    images = [image for image in plan.images.values() if not order.only or image.name in order.only]
    built = []
    proofs: dict[str, Proof] = {}
    for image in images:
        item = builder.build(image)
        built.append(item)
        tell(f"{image.name}: built, {item.unpacked_bytes / 1e6:.1f} MB, {len(item.layers)} layers")
        if prover is not None:
            proofs[image.name] = prover.prove(item)
            tell(f"{image.name}: {told_proof(proofs[image.name])}")
    named = [item for item in built if item.image.name in proofs and proofs[item.image.name].is_good]
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder):
        sweep(folder)
        write_layout(folder, store, built, [item.image.name for item in named], order.tag)
        record = write_record(folder, built, proofs)
    return Outcome(folder, tuple(built), proofs, record)


def told_proof(proof: Proof) -> str:
    """Return a proof in a line."""
    if proof.is_good:
        waiting = f", {proof.waiting} agents wait for others" if proof.waiting else ""
        return (
            f"proven: {proof.imported} agents imported, {proof.ready} ready{waiting}; healthy after "
            f"{proof.healthy_s:.2f} s, stopped in {proof.stopped_s:.2f} s"
        )
    failed = [f"`{name}`: {error}" for name, error in proof.failed.items()]
    return "no name: " + "; ".join([*failed, *proof.faults])


def check_names(plan: ImagePlan, only: tuple[str, ...]) -> None:
    """Raise InputError: one of these is no image of the plan."""
    for name in only:
        if name not in plan.images:
            hint = suggestion(name, plan.images, "images")
            raise InputError(Fault("--only", "unknown-image", f"there is no image `{name}`", hint))
