"""What a project says that it installs: requirement files, pyproject.toml, setup.cfg and the like."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from argosy.source.distributions import normalized

_NAME = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?=$|[\[<>=!~;@,( #])")
_EGG = re.compile(r"[#&]egg=([A-Za-z0-9._-]+)")
_INCLUDE = re.compile(r"(?:-r|--requirement)[\s=]+(\S+)")
_PIP = re.compile(r"(?:^|[\s;&|])(?:pip[0-9.]*|uv\s+pip|python[0-9.]*\s+-m\s+pip)\s+install\s+([^;&|]*)")
_CONDA = re.compile(r"^\s*-\s*([A-Za-z0-9][\w.-]*)\s*(?:[=<>!~ ].*)?$")
# Options of pip whose next word is their value.
_VALUED = frozenset(
    {
        *("-i", "-f", "-t", "-c", "--index-url", "--extra-index-url", "--find-links", "--target"),
        *("--constraint", "--trusted-host", "--platform", "--python-version", "--prefix", "--root"),
        *("--timeout", "--progress-bar", "--cache-dir", "--no-binary", "--only-binary", "--src"),
    }
)
_GROUPS = re.compile(r"dev|test|lint|doc|type|typing|check|ci\b|bench|build|format|style", re.IGNORECASE)


class Requirement(msgspec.Struct, frozen=True, array_like=True):
    """One distribution that is asked for. name: normalised; shown: as written; column: counted from 1."""

    name: str
    shown: str
    line: int
    column: int


class Requirements(msgspec.Struct, frozen=True, array_like=True):
    """What one file asks for.

    packages: for running. helpers: for testing, building and the like. includes: other files, as written; `.`
    for the project of the folder itself.
    is_open: it installs something that its text does not name. project: its own distribution, normalised.
    """

    packages: tuple[Requirement, ...]
    helpers: tuple[Requirement, ...] = ()
    includes: tuple[str, ...] = ()
    is_open: bool = False
    project: str = ""


def read_requirements(text: str) -> Requirements:
    """Return what a requirements file asks for."""
    found: list[Requirement] = []
    includes: list[str] = []
    is_open = False
    for number, line in enumerate(text.splitlines(), 1):
        word = line.strip()
        include = _INCLUDE.match(word)
        if include is not None:
            includes.append(include[1])
        elif word and not word.startswith("#"):
            made = requirement_in(line, number)
            if made is not None:
                found.append(made)
            elif not word.startswith("-") or word.startswith(("-e", "--editable")):
                is_open = True
    return Requirements(tuple(found), includes=tuple(includes), is_open=is_open)


def requirement_in(line: str, number: int, offset: int = 0) -> Requirement | None:
    """Return the requirement that a line begins with, None for an option, a path, or what names nothing."""
    egg = _EGG.search(line)
    match = egg or (None if "://" in line.partition("@")[0].partition("#")[0] else _NAME.match(line))
    if match is None:
        return None
    return Requirement(normalized(match[1]), match[1], number, offset + match.start(1) + 1)


def read_pip_lines(text: str, line: int) -> Requirements:
    """Return what the `pip install` commands in a text of the shell ask for. line: where the text stands."""
    pip = _Pip(line)
    for command in _PIP.findall(text):
        try:
            pip.take(shlex.split(command, comments=False))
        except ValueError:
            pip.take(command.split())
    return Requirements(tuple(pip.found), includes=tuple(pip.includes), is_open=pip.is_open)


class _Pip:
    def __init__(self, line: int) -> None:
        self.line = line
        self.found: list[Requirement] = []
        self.includes: list[str] = []
        self.is_open = False

    def take(self, command: list[str]) -> None:
        words = iter(command)
        for word in words:
            if word in ("-r", "--requirement"):
                self.includes += filter(None, [next(words, "")])
            elif word.startswith("--requirement="):
                self.includes.append(word.partition("=")[2])
            elif word in _VALUED:
                next(words, None)
            elif not word.startswith("-"):
                self.package(word)

    def package(self, word: str) -> None:
        made = None if _is_place(word) else requirement_in(word, self.line)
        if word in (".", "./"):
            self.includes.append(".")
        elif made is not None:
            self.found.append(msgspec.structs.replace(made, column=1))
        else:
            self.is_open = True


def _is_place(word: str) -> bool:
    return "$" in word or "://" in word or word.startswith((".", "/")) or word.endswith((".whl", ".tar.gz"))


def read_pyproject(text: str) -> Requirements:
    """Return what a pyproject.toml asks for, in the ways of the standard, of Poetry and of PDM."""
    import tomllib  # noqa: PLC0415 - few trees have such a file, and fewer runs read it anew

    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return Requirements((), is_open=True)
    project, tool = _table(data, "project"), _table(data, "tool")
    poetry = _table(tool, "poetry")
    run = [*_texts(project.get("dependencies")), *_keys(poetry.get("dependencies"))]
    aside: list[str] = [*_texts(_table(data, "build-system").get("requires"))]
    extras = _table(project, "optional-dependencies")
    groups = [*extras.items(), *_table(data, "dependency-groups").items()]
    groups += [*_table(_table(tool, "pdm"), "dev-dependencies").items()]
    for name, group in groups:
        (aside if _GROUPS.search(name) else run).extend(_texts(group))
    for name, group in _table(poetry, "group").items():
        part = _keys(_table({"": group}, "").get("dependencies"))
        (aside if _GROUPS.search(name) else run).extend(part)
    aside += _keys(poetry.get("dev-dependencies"))
    place = _Places(text)
    is_dynamic = "dependencies" in _texts(project.get("dynamic"))
    return Requirements(
        tuple(place.all_of(run)),
        tuple(place.all_of(aside)),
        is_open=is_dynamic,
        project=normalized(str(project.get("name") or poetry.get("name") or "")),
    )


def read_pipfile(text: str) -> Requirements:
    """Return what a Pipfile asks for."""
    import tomllib  # noqa: PLC0415 - few trees have such a file, and fewer runs read it anew

    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return Requirements((), is_open=True)
    place = _Places(text)
    run, aside = _keys(data.get("packages")), _keys(data.get("dev-packages"))
    return Requirements(tuple(place.all_of(run)), tuple(place.all_of(aside)))


def read_setup_cfg(text: str) -> Requirements:
    """Return what a setup.cfg asks for."""
    import configparser  # noqa: PLC0415 - few trees have such a file, and fewer runs read it anew

    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return Requirements((), is_open=True)
    run = parser.get("options", "install_requires", fallback="").splitlines()
    is_open = any("file:" in line or "attr:" in line for line in run)
    aside = parser.get("options", "tests_require", fallback="").splitlines()
    if parser.has_section("options.extras_require"):
        for name, value in parser.items("options.extras_require"):
            (aside if _GROUPS.search(name) else run).extend(value.splitlines())
    place = _Places(text)
    return Requirements(
        tuple(place.all_of(run)),
        tuple(place.all_of(aside)),
        is_open=is_open,
        project=normalized(parser.get("metadata", "name", fallback="")),
    )


def read_conda(text: str) -> Requirements:
    """Return what an environment of conda asks for; `pip` within it included."""
    found: list[Requirement] = []
    is_inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if line[:1].strip() and not line.startswith(("-", "#")):
            is_inside = line.startswith("dependencies:")
        match = _CONDA.match(line) if is_inside else None
        if match is not None and match[1] not in ("python", "pip"):
            found.append(Requirement(normalized(match[1]), match[1], number, match.start(1) + 1))
    return Requirements(tuple(found))


class _Places:
    """Finds where in a text requirements stand that a parser of its format has given."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()

    def all_of(self, texts: Iterable[str]) -> Iterator[Requirement]:
        for text in texts:
            made = requirement_in(text, 1)
            if made is not None:
                word = re.compile(rf"(?<![\w.-]){re.escape(made.shown)}(?![\w-])")
                hits = ((number, word.search(line)) for number, line in enumerate(self.lines, 1))
                line, hit = next(((number, hit) for number, hit in hits if hit), (1, None))
                yield Requirement(made.name, made.shown, line, hit.start() + 1 if hit else 1)


def _table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _keys(value: object) -> list[str]:
    """Return the names in a table of Poetry, which has Python itself among them."""
    return [key for key in value if key != "python"] if isinstance(value, dict) else []
