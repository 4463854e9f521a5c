"""Resolves, caches, reads and unpacks wheels. Nothing is ever built from source."""

from __future__ import annotations

import hashlib
import posixpath
import re
import shutil
import sys
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from email.parser import HeaderParser
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from argosy.extra import install_command
from argosy.fault import Fault, MissingError, RefusedError
from argosy.image.content.debian import PYTHON
from argosy.image.content.external_program import run_program
from argosy.image.content.packaged_tests import unused_test_files, wheel_tests
from argosy.image.content.staging import temporary_folder
from argosy.source.distributions import normalize_name

try:
    from packaging.requirements import Requirement
except ImportError:
    _has_packaging = False
else:
    _has_packaging = True

_PLATFORMS: Final = (
    "manylinux_2_34",
    "manylinux_2_28",
    "manylinux_2_24",
    "manylinux_2_17",
    "manylinux2014",
    "linux",
)
_MARKER_ENVIRONMENT: Final = {
    "implementation_name": "cpython",
    "implementation_version": f"{PYTHON}.0",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_release": "",
    "platform_system": "Linux",
    "platform_version": "",
    "python_full_version": f"{PYTHON}.0",
    "python_version": PYTHON,
    "sys_platform": "linux",
}


class Wheel(msgspec.Struct, frozen=True, order=True):
    """One wheel of a lock.

    needs: distributions that it requires on the image's Python. unpacked_bytes: of the files that are
    installed; 0 in locks of versions that did not record it. tests: modules of other packages' tests that it
    imports.
    """

    name: str
    version: str
    file: str
    sha256: str
    needs: tuple[str, ...] = ()
    unpacked_bytes: int = 0
    tests: tuple[str, ...] = ()

    @property
    def requirement(self) -> str:
        """The line of a requirements file that installs exactly this wheel."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


class WheelCache:
    """The wheels in the cache, by digest."""

    def __init__(self, cache: Path) -> None:
        self.folder = cache / "wheels"
        self.folder.mkdir(parents=True, exist_ok=True)

    def path_of(self, wheel: Wheel) -> Path:
        """Return the path of a wheel."""
        return self.folder / wheel.sha256 / wheel.file

    def resolve(self, names: Iterable[str]) -> tuple[Wheel, ...]:
        """Return wheels for some distributions and their dependencies.

        Raises RefusedError: pip finds no compatible set; MissingError: there is no pip.
        """
        requested = set(names)
        while True:
            wheels = self.download(sorted(requested))
            missing = {need for wheel in wheels for need in wheel.needs} - {wheel.name for wheel in wheels}
            if not missing:
                return self.select_required(wheels, set(names))
            # pip evaluates markers for the Python that runs it, which may be an older one.
            requested |= missing

    def select_required(self, wheels: Iterable[Wheel], names: set[str]) -> tuple[Wheel, ...]:
        """Return the wheels of some distributions and of their dependencies."""
        by_name = {wheel.name: wheel for wheel in wheels}
        return tuple(by_name[name] for name in sorted(required_closure(names, by_name)))

    def download(self, requirements: list[str]) -> tuple[Wheel, ...]:
        if not requirements:
            return ()
        with temporary_folder(self.folder) as folder:
            run_program(
                [*_pip_command(), "download", *_PIP_TARGET_OPTIONS, "--dest", str(folder), *requirements]
            )
            return tuple(self.store_wheel(path) for path in sorted(folder.glob("*.whl")))

    def store_wheel(self, path: Path) -> Wheel:
        """Move a wheel into the cache."""
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        target = self.folder / digest / path.name
        target.parent.mkdir(exist_ok=True)
        path.replace(target)
        return read_wheel(target, digest)

    def fetch(self, wheels: Iterable[Wheel]) -> None:
        """Download locked wheels that the cache lacks. Raises RefusedError: a digest is not available."""
        missing = [wheel for wheel in wheels if not self.path_of(wheel).is_file()]
        if not missing:
            return
        with temporary_folder(self.folder) as folder:
            lines = [wheel.requirement for wheel in missing]
            (folder / "lock.txt").write_text("\n".join(lines) + "\n")
            command = [
                *_pip_command(),
                "download",
                *_PIP_TARGET_OPTIONS,
                "--no-deps",
                "--require-hashes",
                "--dest",
                str(folder),
            ]
            hint = "`argosy image lock` writes a new lock when versions have been withdrawn"
            run_program([*command, "-r", str(folder / "lock.txt")], hint=hint)
            for path in folder.glob("*.whl"):
                self.store_wheel(path)


_COMMAND_NAME: Final = re.compile(r"\w[\w.+-]*")
_DOTTED_NAME: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_PIP_TARGET_OPTIONS: Final = (
    *("--quiet", "--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON),
    *("--abi", f"cp{PYTHON.replace('.', '')}", "--abi", "abi3", "--abi", "none"),
    *(option for name in _PLATFORMS for option in ("--platform", f"{name}_x86_64")),
)


def _pip_command() -> list[str]:
    """Return the command that runs pip. Raises MissingError: there is no pip."""
    try:
        run_program([sys.executable, "-m", "pip", "--version"])
    except RefusedError as error:
        found = shutil.which("pip")
        if found is None:
            message, hint = (
                "wheels are fetched by pip, which is not installed",
                f"`{sys.executable} -m ensurepip`",
            )
            raise MissingError(Fault("pip", "program-missing", message, hint)) from error
        return [found]
    return [sys.executable, "-m", "pip"]


def required_closure(names: Iterable[str], wheels: Mapping[str, Wheel]) -> set[str]:
    """Return `names` and all their dependencies for which there are wheels."""
    found: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name in wheels and name not in found:
            found.add(name)
            pending += wheels[name].needs
    return found


def read_wheel(path: Path, digest: str) -> Wheel:
    """Return the entry of a lock for a wheel file."""
    name, version = path.name.split("-")[:2]
    with zipfile.ZipFile(path) as archive:
        member = next(item for item in archive.namelist() if item.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(member).decode())
        unused_tests, tests = wheel_tests(archive)
        size = sum(
            item.file_size
            for item in archive.infolist()
            if item.filename not in unused_tests and _install_path(item.filename, "") is not None
        )
    needs = tuple(sorted(set(_required_distributions(metadata.get_all("Requires-Dist") or []))))
    return Wheel(normalize_name(name), version, path.name, digest, needs, size, tests)


def _required_distributions(lines: Iterable[str]) -> Iterator[str]:
    """Yield the distributions that are required on the image's Python, without extras."""
    if not _has_packaging:
        message = "markers of wheels are evaluated by `packaging`, which is not installed"
        raise MissingError(Fault("", "packaging-missing", message, f"`{install_command('image')}`"))
    for line in lines:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({**_MARKER_ENVIRONMENT, "extra": ""}):
            yield normalize_name(requirement.name)


def unpack_wheel(
    path: Path, folder: Path, site: str, referenced_tests: Collection[str] | None = None
) -> None:
    """Install a wheel below `folder` as an installer would, with its modules in `site`.

    Each console script of its entry points becomes a small script; no code of the wheel runs.
    referenced_tests: modules of tests that others import; unused tests are left out. None: install all files.
    Raises RefusedError before anything is written: a member would be written outside of `folder`.
    """
    with zipfile.ZipFile(path) as archive:
        commands = _read_entry_points(archive, path.name)
        for item in archive.infolist():
            _check_member_name(item.filename, path.name)
        excluded = (
            frozenset[str]() if referenced_tests is None else unused_test_files(archive, referenced_tests)
        )
        for item in archive.infolist():
            target = _install_path(item.filename, site)
            if target is None or item.is_dir() or item.filename in excluded:
                continue
            destination = folder / target
            destination.parent.mkdir(parents=True, exist_ok=True)
            data = archive.read(item)
            if target.startswith("usr/local/bin/") and data.startswith(b"#!python"):
                data = b"#!/usr/bin/python3" + data[data.index(b"\n") :]
            destination.write_bytes(data)
            is_program = bool(item.external_attr >> 16 & 0o111) or target.startswith("usr/local/bin/")
            destination.chmod(0o755 if is_program else 0o644)
    _write_scripts(commands, folder / "usr/local/bin")


def _check_member_name(name: str, wheel: str) -> None:
    """Raise RefusedError: a member's name is absolute or has a component `..`."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts:
        _reject_wheel(wheel, f"its member `{name}` would be written outside of the target folder")


def _reject_wheel(wheel: str, message: str) -> NoReturn:
    hint = "do not install it; fetch the distribution again from a source that you trust"
    raise RefusedError(Fault(wheel, "unsafe-wheel", f"`{wheel}` is refused: {message}", hint))


def _install_path(name: str, site: str) -> str | None:
    """Return the path that a member of a wheel is installed to, None for a member that is not installed."""
    head, _, rest = name.partition("/")
    if not head.endswith(".data"):
        return posixpath.join(site, name)
    kind, _, rest = rest.partition("/")
    places = {"purelib": site, "platlib": site, "scripts": "usr/local/bin", "data": "usr/local"}
    return posixpath.join(places[kind], rest) if kind in places else None


def _read_entry_points(archive: zipfile.ZipFile, wheel: str) -> dict[str, tuple[str, str]]:
    """Return the console scripts of a wheel: name to module and attribute.

    Raises RefusedError: a name is not a plain file name, or its target is not a module and an attribute.
    """
    found = {}
    for member in archive.namelist():
        if not member.endswith(".dist-info/entry_points.txt"):
            continue
        for name, target in _console_scripts(archive.read(member).decode()):
            module, _, attribute = target.partition("[")[0].strip().partition(":")
            if not _COMMAND_NAME.fullmatch(name) or not all(map(_DOTTED_NAME.fullmatch, (module, attribute))):
                _reject_wheel(wheel, f"its entry point `{name} = {target}` is not `name = module:attribute`")
            found[name] = module, attribute
    return found


def _console_scripts(text: str) -> Iterator[tuple[str, str]]:
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line.strip("[] \t")
        elif section == "console_scripts" and "=" in line and not line.startswith(("#", ";")):
            name, _, target = line.partition("=")
            yield name.strip(), target.strip()


def _write_scripts(commands: Mapping[str, tuple[str, str]], folder: Path) -> None:
    for name, (module, attribute) in commands.items():
        folder.mkdir(parents=True, exist_ok=True)
        first = attribute.partition(".")[0]
        (folder / name).write_text(
            f"#!/usr/bin/python3\nimport sys\nfrom {module} import {first}\nsys.exit({attribute}())\n"
        )
        (folder / name).chmod(0o755)
