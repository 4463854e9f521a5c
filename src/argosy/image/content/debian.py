"""Builds the base layer from Debian packages: Python and the libraries that it loads.

Packages are downloaded by apt and unpacked; none is installed. Of shared libraries only those are taken that
some file needs. Bytecode is compiled by the Python of the image.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import struct
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from argosy.fault import Fault, RefusedError
from argosy.image.content.blob_store import LayerEntry, entries_in
from argosy.image.content.deterministic_pyc import canonicalize_pyc
from argosy.image.content.external_program import require_program, run_program, run_unchecked
from argosy.image.content.staging import staged_folder, temporary_folder
from argosy.image.runtime.image_paths import (
    APP_DIR,
    ROOT_GROUP_LINE,
    ROOT_PASSWD_LINE,
    RUNTIME_DIR,
    STATE_DIR,
    TEMP_DIR,
    USER_GROUP_LINE,
    USER_ID,
    USER_PASSWD_LINE,
)

PYTHON: Final = "3.13"
_PYTHON_PACKAGES: Final = (
    f"python{PYTHON}-minimal",
    f"libpython{PYTHON}-minimal",
    f"libpython{PYTHON}-stdlib",
)
BASE_PACKAGES: Final = (*_PYTHON_PACKAGES, "ca-certificates", "libgcc-s1", "libstdc++6", "netbase", "tzdata")
# Loaded by name at run time, or expected by every wheel.
_ALWAYS_INCLUDED: Final = (
    "libgcc_s.so.1",
    "libstdc++.so.6",
    "libz.so.1",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
    "libutil.so.1",
    "libresolv.so.2",
    "libnss_dns.so.2",
    "libnss_files.so.2",
    "ld-linux-x86-64.so.2",
)
# Needed only by terminals, installers and dialogs.
_EXCLUDED_PACKAGES: Final = frozenset(
    {"debconf", "cdebconf", "libnewt0.52", "libslang2", "libtextwrap1", "libdebian-installer4"}
)
_EXCLUDED_STDLIB: Final = (
    "test",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "pydoc_data",
    "lib2to3",
    "__phello__",
    "turtle.py",
)
_APT_HINT: Final = "`apt-get update` first; without apt, use `argosy image containerfile`"
_GONE_HINT: Final = (
    "`apt-get update`; `argosy image lock` writes a new lock when versions have been withdrawn"
)
# Increased when the recipe changes, so that cached layers of an older one are not used.
_RECIPE_VERSION: Final = "8"
# Called by `ctypes.util.find_library`.
_LDCONFIG_SCRIPT: Final = b"""#!/usr/bin/python3
# Lists the shared libraries like `ldconfig -p`, for ctypes.util.find_library.
import os
folder = "/usr/lib/x86_64-linux-gnu"
for name in sorted(os.listdir(folder)):
    if ".so" in name:
        print(f"\\t{name} (libc6,x86-64) => {folder}/{name}")
"""
# An OSError in the output of compileall, in the line below the module.
_COMPILEALL_OS_ERROR: Final = re.compile(r"^\w+Error: \[Errno (\d+)\]", re.MULTILINE)
# From this count of modules on, compiling on all processors is faster.
_PARALLEL_THRESHOLD: Final = 200
# Types of program headers and of dynamic entries in an ELF file.
_PT_DYNAMIC, _PT_LOAD = 2, 1
_DT_NEEDED, _DT_STRTAB = 1, 5


class DebianPackage(msgspec.Struct, frozen=True, order=True):
    """One Debian package of a lock."""

    name: str
    version: str
    sha256: str
    file: str


class UnpackedPackages(msgspec.Struct, frozen=True):
    """Packages that are unpacked into one tree of the cache."""

    packages: tuple[DebianPackage, ...]
    tree: str


def resolve_packages(names: Iterable[str]) -> tuple[DebianPackage, ...]:
    """Return packages with all their dependencies, in the versions that apt would install.

    Raises MissingError: there is no apt. Raises RefusedError: apt knows no package of a name.
    """
    require_program("apt-get", _APT_HINT)
    command = ["apt-cache", "depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts"]
    command += ["--no-breaks", "--no-replaces", "--no-enhances", *names]
    listed = [line for line in run_program(command).splitlines() if line[:1].isalnum()]
    wanted = sorted({name for name in listed if ":" not in name} - _EXCLUDED_PACKAGES)
    return read_packages(wanted)


def read_packages(names: Iterable[str]) -> tuple[DebianPackage, ...]:
    """Return only these packages, in the versions that apt would install."""
    return tuple(sorted(_parse_packages(run_program(["apt-cache", "show", "--no-all-versions", *names]))))


def _parse_packages(text: str) -> Iterator[DebianPackage]:
    for part in text.strip().split("\n\n"):
        keys = dict(line.split(": ", 1) for line in part.splitlines() if ": " in line and line[:1] != " ")
        if "SHA256" in keys and "Filename" in keys:
            yield DebianPackage(
                keys["Package"], keys["Version"], keys["SHA256"], os.path.basename(keys["Filename"])
            )


def fetch_packages(packages: tuple[DebianPackage, ...], cache: Path) -> UnpackedPackages:
    """Return packages unpacked into one tree; downloads those that the cache lacks.

    Raises RefusedError: a package is not available in its version, or has another digest.
    """
    archives = cache / "debian"
    archives.mkdir(parents=True, exist_ok=True)
    missing = [package for package in packages if not (archives / package.sha256).exists()]
    if missing:
        with temporary_folder(archives) as download_folder:
            download_folder.chmod(0o755)
            wanted = [f"{package.name}={package.version}" for package in missing]
            command = [require_program("apt-get", _APT_HINT), "-qq", "download", *wanted]
            run_program(command, cwd=download_folder, hint=_GONE_HINT)
            for file in download_folder.iterdir():
                file.replace(archives / hashlib.sha256(file.read_bytes()).hexdigest())
    for package in packages:
        if not (archives / package.sha256).exists():
            message = f"`{package.name}={package.version}` has another digest than in the lock"
            raise RefusedError(
                Fault(package.name, "digest", message, "`argosy image lock` writes a new lock")
            )
    key = hashlib.sha256("\n".join(package.sha256 for package in packages).encode()).hexdigest()[:24]
    tree = cache / "trees" / key
    if not tree.exists():
        tree.parent.mkdir(exist_ok=True)
        with staged_folder(tree) as partial, ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            commands = (["dpkg-deb", "-x", str(archives / item.sha256), str(partial)] for item in packages)
            list(pool.map(run_program, commands))
    return UnpackedPackages(packages, str(tree))


def interpreter(tree: str) -> list[str]:
    """Return the command that runs the Python of an unpacked tree; its PYTHONHOME is `tree/usr`."""
    libraries = f"{tree}/usr/lib/x86_64-linux-gnu:{tree}/usr/lib"
    return [
        f"{tree}/usr/lib64/ld-linux-x86-64.so.2",
        "--library-path",
        libraries,
        f"{tree}/usr/bin/python{PYTHON}",
    ]


def base_cache_key(packages: tuple[DebianPackage, ...]) -> str:
    """Return the cache key of a base layer."""
    return "\n".join(["base", _RECIPE_VERSION, *(package.sha256 for package in packages)])


def base_entries(fetched: UnpackedPackages, work_folder: Path) -> Iterator[LayerEntry]:
    """Yield the files of the base layer. work_folder: an empty folder for generated files."""
    tree = Path(fetched.tree)
    stdlib = tree / "usr" / "lib" / f"python{PYTHON}"
    copied = work_folder / f"usr/lib/python{PYTHON}"
    shutil.copytree(stdlib, copied, symlinks=True, ignore=_excluded_names)
    compile_tree(interpreter(fetched.tree), fetched.tree, work_folder)
    yield from entries_in(work_folder)
    program = tree / "usr" / "bin" / f"python{PYTHON}"
    yield LayerEntry(f"usr/bin/python{PYTHON}", "file", source=str(program), mode=0o755)
    for name in ("python3", "python"):
        yield LayerEntry(f"usr/bin/{name}", "link", target=f"python{PYTHON}", mode=0o777)
    seeds = [program, *sorted(copied.rglob("*.so"))]
    yield from libraries_for(seeds, tree, _ALWAYS_INCLUDED)
    yield from _system_files(tree)


def _excluded_names(folder: str, names: list[str]) -> set[str]:
    return {
        name
        for name in names
        if name in (*_EXCLUDED_STDLIB, "__pycache__", "tests")
        or name.startswith(("config-3", "_test", "_ctypes_test", "_tkinter", "_dbm", "readline.", "_curses"))
    }


def libraries_for(
    seeds: Iterable[Path], tree: Path, always_included: Iterable[str] = ()
) -> Iterator[LayerEntry]:
    """Yield the libraries of a tree that some files need, directly or indirectly, with their links."""
    found: dict[str, Path] = {}
    pending = [*always_included, *(name for seed in seeds for name in needed_libraries(seed))]
    while pending:
        name = pending.pop()
        path = None if name in found else find_library(name, tree)
        if path is not None:
            found[name] = path
            pending += needed_libraries(path.resolve())
    for name, path in sorted(found.items()):
        real = path.resolve()
        folder = path.parent.relative_to(tree).as_posix()
        yield LayerEntry(
            f"{folder}/{real.name}", "file", source=str(real), mode=0o755 if name.startswith("ld-") else 0o644
        )
        if real.name != name:
            yield LayerEntry(f"{folder}/{name}", "link", target=real.name, mode=0o777)
    if "ld-linux-x86-64.so.2" in found:
        target = "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
        yield LayerEntry("usr/lib64/ld-linux-x86-64.so.2", "link", target=target, mode=0o777)


def extra_libraries(folder: Path, tree: Path) -> Iterator[LayerEntry]:
    """Yield libraries of the base's packages that files below `folder` need and the base layer does not have.

    `libmvec.so.1` is one.
    """
    seeds = [path for path in folder.rglob("*.so*") if path.is_file()]
    wanted = {name for seed in seeds for name in needed_libraries(seed)}
    if wanted:
        base_paths = {entry.path for entry in libraries_for(_base_binaries(tree), tree, _ALWAYS_INCLUDED)}
        found = libraries_for(seeds, tree)
        yield from (entry for entry in found if entry.path not in base_paths and "ld-linux" not in entry.path)


def _base_binaries(tree: Path) -> list[Path]:
    folder = tree / "usr" / "lib" / f"python{PYTHON}" / "lib-dynload"
    kept = [path for path in folder.glob("*.so") if not _excluded_names("", [path.name])]
    return [tree / "usr" / "bin" / f"python{PYTHON}", *kept]


def find_library(name: str, tree: Path) -> Path | None:
    """Return the path of a library in a tree of unpacked packages, None when it is not there."""
    folders = ("usr/lib/x86_64-linux-gnu", "usr/lib")
    return next((tree / folder / name for folder in folders if (tree / folder / name).exists()), None)


def _system_files(tree: Path) -> Iterator[LayerEntry]:
    """Yield users, name service files, certificates, time zones and the writable folders."""
    for name in ("bin", "sbin", "lib", "lib64"):
        yield LayerEntry(name, "link", target=f"usr/{name}", mode=0o777)
    yield LayerEntry("etc/passwd", "file", data=(ROOT_PASSWD_LINE + USER_PASSWD_LINE).encode())
    yield LayerEntry("etc/group", "file", data=(ROOT_GROUP_LINE + USER_GROUP_LINE).encode())
    yield LayerEntry("etc/nsswitch.conf", "file", data=b"passwd: files\ngroup: files\nhosts: files dns\n")
    for name in ("services", "protocols", f"python{PYTHON}/sitecustomize.py"):
        if (tree / "etc" / name).is_file():
            yield LayerEntry(f"etc/{name}", "file", source=str(tree / "etc" / name))
    yield LayerEntry("usr/sbin/ldconfig", "file", data=_LDCONFIG_SCRIPT, mode=0o755)
    # Container engines mount their own files over these.
    for name in ("hosts", "hostname", "resolv.conf"):
        yield LayerEntry(f"etc/{name}", "file", data=b"")
    certificates = sorted((tree / "usr/share/ca-certificates").rglob("*.crt"))
    data = b"".join(path.read_bytes().rstrip(b"\n") + b"\n" for path in certificates)
    yield LayerEntry("etc/ssl/certs/ca-certificates.crt", "file", data=data)
    for entry in entries_in(tree / "usr/share/zoneinfo", "usr/share/zoneinfo/"):
        if not entry.path.startswith(("usr/share/zoneinfo/right", "usr/share/zoneinfo/posix")):
            yield entry
    yield from standard_entries()


def standard_entries() -> Iterator[LayerEntry]:
    """Yield the folders of every image: the writable ones, and those that an engine mounts over."""
    for path, mode, owner in (
        (STATE_DIR, 0o700, USER_ID),
        (RUNTIME_DIR, 0o700, USER_ID),
        (TEMP_DIR, 0o1777, 0),
        (APP_DIR, 0o755, 0),
    ):
        yield LayerEntry(path.lstrip("/"), "folder", mode=mode, owner=owner)
    for name in ("dev", "proc", "sys"):
        yield LayerEntry(name, "folder", mode=0o755)


def compile_tree(python: list[str], tree: str, folder: Path) -> None:
    """Write bytecode for every module below `folder`, which becomes the root of an image.

    Its hashes are unchecked: files of an image do not change, and checks would slow each start.
    """
    is_large = sum(1 for _ in folder.rglob("*.py")) > _PARALLEL_THRESHOLD
    options = ["-q", "-j", "0" if is_large else "1", "--invalidation-mode", "unchecked-hash"]
    command = [*python, "-m", "compileall", *options, "-s", str(folder), "-p", "/", str(folder)]
    env = {"PYTHONHOME": f"{tree}/usr", "PATH": os.defpath, "PYTHONHASHSEED": "0", "PYTHONNOUSERSITE": "1"}
    completed = run_unchecked(command, env=env)
    # A module that does not compile (a template, a test of a parser) gets no bytecode, which is not an error:
    # the smoke test imports every agent. An error of writing is raised.
    if completed.returncode and (found := _COMPILEALL_OS_ERROR.search(completed.stdout)):
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(folder))
    for path in folder.rglob("*.pyc"):
        path.write_bytes(canonicalize_pyc(path.read_bytes()))


def needed_libraries(path: Path) -> tuple[str, ...]:
    """Return the libraries that a 64-bit little-endian ELF file needs, such as `libc.so.6`; else none."""
    try:
        data = path.read_bytes()
        return tuple(_needed_names(data)) if data[:6] == b"\x7fELF\x02\x01" else ()
    except (OSError, struct.error, ValueError):
        return ()


def _needed_names(data: bytes) -> Iterator[str]:
    (offset,) = struct.unpack_from("<Q", data, 0x20)
    size, count = struct.unpack_from("<HH", data, 0x36)
    loads: list[tuple[int, int, int]] = []
    dynamic: tuple[int, int] | None = None
    for at in range(count):
        kind, _, start, address, _, length = struct.unpack_from("<IIQQQQ", data, offset + at * size)
        if kind == _PT_LOAD:
            loads.append((address, start, length))
        elif kind == _PT_DYNAMIC:
            dynamic = (start, length)
    if dynamic is None:
        return
    items = list(struct.iter_unpack("<qQ", data[dynamic[0] : dynamic[0] + dynamic[1] // 16 * 16]))
    table = next((value for tag, value in items if tag == _DT_STRTAB), None)
    if table is None:
        return
    for tag, value in items:
        if tag == 0:
            return
        if tag == _DT_NEEDED:
            start = _file_offset(table + value, loads)
            yield data[start : data.index(b"\0", start)].decode()


def _file_offset(address: int, loads: list[tuple[int, int, int]]) -> int:
    """Return the offset in the file that is loaded at an address."""
    for base, start, length in loads:
        if base <= address < base + length:
            return start + address - base
    raise ValueError(f"address {address:#x} is in no segment")
