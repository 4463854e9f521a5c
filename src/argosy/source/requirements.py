"""Parses the requirements of a project: requirements files, pyproject.toml, setup.cfg and others."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from argosy.source.distributions import normalize_name

_NAME = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?=$|[\[<>=!~;@,( #])")
_EGG = re.compile(r"[#&]egg=([A-Za-z0-9._-]+)")
_INCLUDE = re.compile(r"(?:-r|--requirement)[\s=]+(\S+)")
_PIP = re.compile(r"(?:^|[\s;&|])(?:pip[0-9.]*|uv\s+pip|python[0-9.]*\s+-m\s+pip)\s+install\s+([^;&|]*)")
_CONDA = re.compile(r"^\s*-\s*([A-Za-z0-9][\w.-]*)\s*(?:[=<>!~ ].*)?$")
# Options of pip that take a value.
_OPTIONS_WITH_VALUE = frozenset(
    {
        *("-i", "-f", "-t", "-c", "--index-url", "--extra-index-url", "--find-links", "--target"),
        *("--constraint", "--trusted-host", "--platform", "--python-version", "--prefix", "--root"),
        *("--timeout", "--progress-bar", "--cache-dir", "--no-binary", "--only-binary", "--src"),
    }
)
_DEVELOPMENT_GROUP = re.compile(
    r"dev|test|lint|doc|type|typing|check|ci\b|bench|build|format|style", re.IGNORECASE
)


class PackageRequirement(msgspec.Struct, frozen=True, array_like=True):
    """One required distribution. name: normalized; written_name: as written; column: counted from 1."""

    name: str
    written_name: str
    line: int
    column: int


class Requirements(msgspec.Struct, frozen=True, array_like=True):
    """The requirements in one file.

    packages: for running. dev_packages: for testing, building and the like. includes: other files, as
    written; `.` for the project in the folder itself.
    has_unnamed: it installs something that it does not name. project: its own normalized distribution name.
    """

    packages: tuple[PackageRequirement, ...]
    dev_packages: tuple[PackageRequirement, ...] = ()
    includes: tuple[str, ...] = ()
    has_unnamed: bool = False
    project: str = ""


def read_requirements(text: str) -> Requirements:
    """Return the requirements of a requirements file."""
    found: list[PackageRequirement] = []
    includes: list[str] = []
    has_unnamed = False
    for number, line in enumerate(text.splitlines(), 1):
        word = line.strip()
        include = _INCLUDE.match(word)
        if include is not None:
            includes.append(include[1])
        elif word and not word.startswith("#"):
            requirement = parse_requirement(line, number)
            if requirement is not None:
                found.append(requirement)
            elif not word.startswith("-") or word.startswith(("-e", "--editable")):
                has_unnamed = True
    return Requirements(tuple(found), includes=tuple(includes), has_unnamed=has_unnamed)


def parse_requirement(line: str, number: int, offset: int = 0) -> PackageRequirement | None:
    """Return the requirement at the start of a line; None for an option, a path, or text without a name."""
    egg = _EGG.search(line)
    match = egg or (None if "://" in line.partition("@")[0].partition("#")[0] else _NAME.match(line))
    if match is None:
        return None
    return PackageRequirement(normalize_name(match[1]), match[1], number, offset + match.start(1) + 1)


def read_pip_lines(text: str, line: int) -> Requirements:
    """Return the requirements of the `pip install` commands in a shell text. line: its line number."""
    pip = _PipCommandReader(line)
    for command in _PIP.findall(text):
        try:
            pip.read_command(shlex.split(command, comments=False))
        except ValueError:
            pip.read_command(command.split())
    return Requirements(tuple(pip.found), includes=tuple(pip.includes), has_unnamed=pip.has_unnamed)


class _PipCommandReader:
    def __init__(self, line: int) -> None:
        self.line = line
        self.found: list[PackageRequirement] = []
        self.includes: list[str] = []
        self.has_unnamed = False

    def read_command(self, command: list[str]) -> None:
        remaining = iter(command)
        for argument in remaining:
            if argument in ("-r", "--requirement"):
                self.includes += filter(None, [next(remaining, "")])
            elif argument.startswith("--requirement="):
                self.includes.append(argument.partition("=")[2])
            elif argument in _OPTIONS_WITH_VALUE:
                next(remaining, None)
            elif not argument.startswith("-"):
                self.add_package(argument)

    def add_package(self, argument: str) -> None:
        requirement = None if _is_path_or_url(argument) else parse_requirement(argument, self.line)
        if argument in (".", "./"):
            self.includes.append(".")
        elif requirement is not None:
            self.found.append(msgspec.structs.replace(requirement, column=1))
        else:
            self.has_unnamed = True


def _is_path_or_url(argument: str) -> bool:
    return (
        "$" in argument
        or "://" in argument
        or argument.startswith((".", "/"))
        or argument.endswith((".whl", ".tar.gz"))
    )


def read_pyproject(text: str) -> Requirements:
    """Return the requirements of a pyproject.toml, in the standard, Poetry and PDM formats."""
    import tomllib  # noqa: PLC0415 - few trees have such a file, and few runs read it again

    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return Requirements((), has_unnamed=True)
    project, tool = _get_table(data, "project"), _get_table(data, "tool")
    poetry = _get_table(tool, "poetry")
    run = [*_get_texts(project.get("dependencies")), *_package_names(poetry.get("dependencies"))]
    development: list[str] = [*_get_texts(_get_table(data, "build-system").get("requires"))]
    extras = _get_table(project, "optional-dependencies")
    groups = [*extras.items(), *_get_table(data, "dependency-groups").items()]
    groups += [*_get_table(_get_table(tool, "pdm"), "dev-dependencies").items()]
    for name, group in groups:
        (development if _DEVELOPMENT_GROUP.search(name) else run).extend(_get_texts(group))
    for name, group in _get_table(poetry, "group").items():
        part = _package_names(_get_table({"": group}, "").get("dependencies"))
        (development if _DEVELOPMENT_GROUP.search(name) else run).extend(part)
    development += _package_names(poetry.get("dev-dependencies"))
    locator = _RequirementLocator(text)
    is_dynamic = "dependencies" in _get_texts(project.get("dynamic"))
    return Requirements(
        tuple(locator.locate_all(run)),
        tuple(locator.locate_all(development)),
        has_unnamed=is_dynamic,
        project=normalize_name(str(project.get("name") or poetry.get("name") or "")),
    )


def read_pipfile(text: str) -> Requirements:
    """Return the requirements of a Pipfile."""
    import tomllib  # noqa: PLC0415 - few trees have such a file, and few runs read it again

    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return Requirements((), has_unnamed=True)
    locator = _RequirementLocator(text)
    run, development = _package_names(data.get("packages")), _package_names(data.get("dev-packages"))
    return Requirements(tuple(locator.locate_all(run)), tuple(locator.locate_all(development)))


def read_setup_cfg(text: str) -> Requirements:
    """Return the requirements of a setup.cfg."""
    import configparser  # noqa: PLC0415 - few trees have such a file, and few runs read it again

    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return Requirements((), has_unnamed=True)
    run = parser.get("options", "install_requires", fallback="").splitlines()
    has_unnamed = any("file:" in line or "attr:" in line for line in run)
    development = parser.get("options", "tests_require", fallback="").splitlines()
    if parser.has_section("options.extras_require"):
        for name, value in parser.items("options.extras_require"):
            (development if _DEVELOPMENT_GROUP.search(name) else run).extend(value.splitlines())
    locator = _RequirementLocator(text)
    return Requirements(
        tuple(locator.locate_all(run)),
        tuple(locator.locate_all(development)),
        has_unnamed=has_unnamed,
        project=normalize_name(parser.get("metadata", "name", fallback="")),
    )


def read_conda(text: str) -> Requirements:
    """Return the requirements of a conda environment, including its `pip` section."""
    found: list[PackageRequirement] = []
    is_inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if line[:1].strip() and not line.startswith(("-", "#")):
            is_inside = line.startswith("dependencies:")
        match = _CONDA.match(line) if is_inside else None
        if match is not None and match[1] not in ("python", "pip"):
            found.append(PackageRequirement(normalize_name(match[1]), match[1], number, match.start(1) + 1))
    return Requirements(tuple(found))


class _RequirementLocator:
    """Finds the positions of parsed requirements in a text."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()

    def locate_all(self, texts: Iterable[str]) -> Iterator[PackageRequirement]:
        for text in texts:
            requirement = parse_requirement(text, 1)
            if requirement is not None:
                word = re.compile(rf"(?<![\w.-]){re.escape(requirement.written_name)}(?![\w-])")
                hits = ((number, word.search(line)) for number, line in enumerate(self.lines, 1))
                line, hit = next(((number, hit) for number, hit in hits if hit), (1, None))
                column = hit.start() + 1 if hit else 1
                yield PackageRequirement(requirement.name, requirement.written_name, line, column)


def _get_table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _get_texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _package_names(value: object) -> list[str]:
    """Return the names in a Poetry table, without Python itself."""
    return [key for key in value if key != "python"] if isinstance(value, dict) else []
