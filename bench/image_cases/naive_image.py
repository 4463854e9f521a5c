"""The files of a naive Dockerfile: `apt-get install` with compilers and pip, the whole tree, `pip install`.

They are the packages that apt would install on a bare Debian, including recommended ones, and apt's lists;
the bytecode of Python's modules, as its packages compile it; the wheels with the bytecode that pip compiles,
and pip's cache of them; and the tree. No container engine is needed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from argosy.image.content.debian import PYTHON, DebianPackage, fetch_packages, interpreter, read_packages
from argosy.image.content.external_program import run_program
from argosy.image.content.wheels import Wheel, WheelCache, unpack_wheel

ESSENTIAL = (
    *("base-files", "base-passwd", "bash", "coreutils", "dash", "debianutils", "diffutils", "dpkg"),
    *("findutils", "grep", "gzip", "hostname", "init-system-helpers", "libc-bin", "login", "mawk"),
    *(
        "ncurses-base",
        "ncurses-bin",
        "passwd",
        "perl-base",
        "sed",
        "sysvinit-utils",
        "tar",
        "util-linux",
        "apt",
    ),
)
WANTED = ("python3", "python3-pip", "python3-venv", "python3-dev", "build-essential")
_INST = re.compile(r"^Inst (\S+)", re.MULTILINE)


def naive_packages() -> tuple[DebianPackage, ...]:
    """Return what apt would install on a bare Debian."""
    bare = ["-o", "Dir::State::status=/dev/null", "-o", "APT::Install-Recommends=true"]
    output = run_program(["apt-get", "-s", *bare, "install", *ESSENTIAL, *WANTED])
    return read_packages(sorted(set(_INST.findall(output))))


def lay_out_naive(
    folder: Path, cache: Path, packages: tuple[DebianPackage, ...], wheels: Iterable[Wheel], tree: Path
) -> Path:
    """Write the files below `folder`; return the root."""
    archives = cache / "debian"
    (folder / "trees").mkdir(parents=True, exist_ok=True)
    if not (folder / "debian").exists():
        archives.mkdir(parents=True, exist_ok=True)
        (folder / "debian").symlink_to(archives)
    root = Path(fetch_packages(packages, folder).tree)
    site = f"usr/local/lib/python{PYTHON}/dist-packages"
    wheel_cache = WheelCache(cache)
    found = tuple(wheels)
    wheel_cache.fetch(found)
    pip_cache = root / "root/.cache/pip"
    pip_cache.mkdir(parents=True, exist_ok=True)
    for wheel in found:
        unpack_wheel(wheel_cache.path_of(wheel), root, site)
        shutil.copyfile(wheel_cache.path_of(wheel), pip_cache / wheel.file)
    shutil.copytree(
        "/var/lib/apt/lists", root / "var/lib/apt/lists", ignore=_not_readable, dirs_exist_ok=True
    )
    shutil.copytree(tree, root / "app", ignore=shutil.ignore_patterns(".argosy", "__pycache__", ".git"))
    compile_naive(root)
    return root


def _not_readable(folder: str, names: list[str]) -> list[str]:
    return [
        name
        for name in names
        if name in ("lock", "partial") or not os.access(os.path.join(folder, name), os.R_OK)
    ]


def compile_naive(root: Path) -> None:
    """Write the bytecode that the scripts of Python's packages and pip write."""
    for part in (f"usr/lib/python{PYTHON}", f"usr/local/lib/python{PYTHON}/dist-packages"):
        _compile(root, root, root / part)


def size_with(folder: Path, cache: Path, root: Path, wheels: Iterable[Wheel]) -> int:
    """Return the bytes that more wheels add to the root: their files, bytecode, and pip's copy of each."""
    wheel_cache = WheelCache(cache)
    found = tuple(wheels)
    wheel_cache.fetch(found)
    for wheel in found:
        unpack_wheel(wheel_cache.path_of(wheel), folder, "site")
    _compile(root, folder, folder / "site")
    return size_of(folder) + sum(wheel_cache.path_of(wheel).stat().st_size for wheel in found)


def _compile(root: Path, stripped: Path, below: Path) -> None:
    options = ["-m", "compileall", "-q", "-j", "0", "-s", str(stripped), "-p", "/", str(below)]
    env = {"PYTHONHOME": f"{root}/usr", "PATH": "/usr/bin:/bin"}
    run_program([*interpreter(str(root)), *options, "-x", r"lib2to3/tests|bad_?|badsyntax"], env=env)


def size_of(folder: Path) -> int:
    """Return the sum of the sizes of a folder's files; hard links count once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for path in folder.rglob("*"):
        status = path.lstat()
        if path.is_file() and not path.is_symlink() and (status.st_dev, status.st_ino) not in seen:
            seen.add((status.st_dev, status.st_ino))
            total += status.st_size
    return total
