"""Builds the images of a plan: lock, build, smoke test, tag and record, in this order."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from argosy.fault import Fault, InputError, RefusedError
from argosy.fleet.suggestions import suggest
from argosy.image.build.base_image import read_base_image
from argosy.image.build.build_record import LAYOUT_FOLDER, BuildRecord, write_build_record
from argosy.image.build.image_builder import BuiltImage, ImageBuilder, write_layout
from argosy.image.build.smoke_test import SmokeTester, SmokeTestResult
from argosy.image.content.blob_store import BlobStore, Compression
from argosy.image.content.staging import lock_folder, remove_stale
from argosy.image.lock import LOCK_FILE as LOCK_FILE
from argosy.image.lock import (
    ImageLock,
    MachineLock,
    check_lock,
    lock_machines,
    read_lock,
    resolve_lock,
    write_lock,
    write_machine_locks,
)
from argosy.image.plan.container_plan import plan_containers
from argosy.image.plan.image_plan import ImagePlan


class BuildOptions(msgspec.Struct, frozen=True):
    """What to build. only: these images; empty for all. folder: of the layout; see `LAYOUT_FOLDER`.

    base_reference: `LAYOUT[:NAME]` of an image to build on; empty for a base from Debian packages.
    """

    only: tuple[str, ...] = ()
    folder: Path | None = None
    tag: str = "latest"
    compression: Compression = "zstd"
    runs_smoke_test: bool = True
    base_reference: str = ""


class LockResult(msgspec.Struct, frozen=True):
    """The lock of the images, and the part of it for each machine."""

    path: Path
    lock: ImageLock
    machines: tuple[MachineLock, ...]


class BuildResult(msgspec.Struct, frozen=True):
    """The images that were built, and the results of their smoke tests."""

    folder: Path
    built: tuple[BuiltImage, ...]
    smoke_tests: dict[str, SmokeTestResult]
    record: BuildRecord

    @property
    def untagged(self) -> tuple[str, ...]:
        """Images without a name in the layout, because their smoke test failed."""
        return tuple(name for name, result in self.smoke_tests.items() if not result.is_passed)


def image_cache_folder() -> Path:
    """Return the folder that keeps wheels, packages, layers and bytecode between builds."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "argosy" / "images"


def _clean_cache(cache: Path) -> Path:
    """Remove incomplete files that killed builds left in the cache."""
    for folder in (cache, *cache.glob("*/"), cache / "blobs" / "sha256"):
        remove_stale(folder)
    return cache


def lock_path(plan: ImagePlan) -> Path:
    """Return the path of a fleet's lock, which is beside its file."""
    return Path(plan.fleet.path).parent / LOCK_FILE


def lock_images(plan: ImagePlan, only: tuple[str, ...] = ()) -> LockResult:
    """Write the lock of a plan and of each machine; raises as `resolve_lock` does."""
    check_names(plan, only)
    path = lock_path(plan)
    with disk_errors_as_faults(image_cache_folder(), path.parent):
        lock = resolve_lock(plan, _clean_cache(image_cache_folder()), only)
        write_lock(lock, path)
        machines = lock_machines(plan, lock, only)
        write_machine_locks(machines)
    return LockResult(path, lock, machines)


def build_images(plan: ImagePlan, options: BuildOptions, notify: Callable[[str], None]) -> BuildResult:
    """Build images, smoke test each, and tag those that pass; a missing lock is written first.

    notify: takes a line for each step. Raises InputError: an unknown image or a faulty lock; MissingError: a
    program is missing; RefusedError: a package cannot be fetched.
    """
    check_names(plan, options.only)
    folder = options.folder or Path(plan.fleet.path).parent / LAYOUT_FOLDER
    _check_folder(folder)
    with disk_errors_as_faults(image_cache_folder(), folder):
        return _build_images(plan, options, folder, notify)


def _check_folder(folder: Path) -> None:
    """Raise InputError: a layout cannot be written there. Called before anything is built."""
    existing = next(
        each for each in (folder, *folder.absolute().parents) if each.exists() or each.is_symlink()
    )
    if not existing.is_dir():
        message = f"`{folder}` cannot be a folder: `{existing}` is not a folder"
        raise InputError(Fault("-o", "layout-folder", message, "`-o DIR` names another"))
    if not os.access(existing, os.W_OK):
        message = f"`{folder}` cannot be written: no permission to write to `{existing}`"
        raise InputError(Fault("-o", "layout-folder", message, "`-o DIR` names another"))


def _build_images(
    plan: ImagePlan, options: BuildOptions, folder: Path, notify: Callable[[str], None]
) -> BuildResult:
    store = BlobStore(_clean_cache(image_cache_folder()), options.compression)
    containers = plan_containers(plan)
    smoke_tester = SmokeTester(store, image_cache_folder(), containers) if options.runs_smoke_test else None
    base_image = read_base_image(options.base_reference, store) if options.base_reference else None
    path = lock_path(plan)
    if not path.exists():
        notify(f"writing `{LOCK_FILE}`, which does not exist yet")
        lock_images(plan, options.only)
    lock = read_lock(path)
    check_lock(lock, plan, path, options.only)
    builder = ImageBuilder(containers, lock, store, image_cache_folder(), base_image)
    built = []
    smoke_tests: dict[str, SmokeTestResult] = {}
    for image in plan.select(options.only):
        item = builder.build(image)
        built.append(item)
        notify(f"{image.name}: built, {item.unpacked_bytes / 1e6:.1f} MB, {len(item.layers)} layers")
        if smoke_tester is not None:
            smoke_tests[image.name] = smoke_tester.test_image(item)
            notify(f"{image.name}: {describe_smoke_test(smoke_tests[image.name])}")
    tagged = [
        item for item in built if item.image.name in smoke_tests and smoke_tests[item.image.name].is_passed
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(folder):
        remove_stale(folder)
        write_layout(folder, store, built, [item.image.name for item in tagged], options.tag)
        record = write_build_record(folder, built, smoke_tests)
    return BuildResult(folder, tuple(built), smoke_tests, record)


def describe_smoke_test(result: SmokeTestResult) -> str:
    """Return the result of a smoke test in one line."""
    if result.is_passed:
        waiting = f", {result.waiting} agents wait for others" if result.waiting else ""
        return (
            f"smoke test passed: {result.imported} agents imported, {result.ready} ready{waiting}; healthy "
            f"after {result.healthy_s:.2f} s, stopped in {result.stopped_s:.2f} s"
        )
    failed = [f"`{name}`: {error}" for name, error in result.failed.items()]
    return "not tagged: " + "; ".join([*failed, *result.faults])


def check_names(plan: ImagePlan, only: tuple[str, ...]) -> None:
    """Raise InputError: one of these is not an image of the plan."""
    for name in only:
        if name not in plan.images:
            hint = suggest(name, plan.images, "images")
            raise InputError(Fault("--only", "unknown-image", f"there is no image `{name}`", hint))


_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def disk_errors_as_faults(*folders: Path) -> Iterator[None]:
    """Convert OSError in the block to RefusedError. folders: where the block writes; they need not exist yet.

    Raises RefusedError: a file or folder cannot be read or written.
    """
    try:
        yield
    except BrokenPipeError:
        raise  # of the progress output, not of the disk
    except OSError as error:
        raise RefusedError(disk_fault(error, folders)) from error


def disk_fault(error: OSError, folders: tuple[Path, ...]) -> Fault:
    """Return the fault of an OSError; a full disk is reported with the free space of `folders`."""
    number, where, reason = error.errno, error.filename, error.strerror
    if isinstance(error, shutil.Error):  # of copying a tree: a list of errors
        _, where, reason = error.args[0][0]
        found = re.search(r"\[Errno (\d+)\] ([^:]+)", reason)
        number, reason = (int(found[1]), found[2]) if found else (None, reason)
    if number in _DISK_FULL:
        free = ", ".join(f"`{folder}` has {_free_bytes(folder) / 1e6:.1f} MB free" for folder in folders)
        message = f"{reason}; incomplete files were removed, and now {free}"
        hint = "free some space there; the same command then continues with the finished files"
        return Fault(str(where or ""), "disk-full", message, hint)
    return Fault(str(where or ""), "disk", reason or str(error))


def _free_bytes(folder: Path) -> int:
    """Return the bytes free for a folder, which need not exist yet."""
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    stats = os.statvfs(existing)
    return stats.f_bavail * stats.f_frsize
