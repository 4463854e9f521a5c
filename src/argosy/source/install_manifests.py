"""Reads what a requirements file, a packaging file or a Dockerfile installs.

A Dockerfile is passed as parsed instructions, because its parser is on another floor.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import msgspec

from argosy.source import requirements
from argosy.source.requirements import PackageRequirement, Requirements

DOCKERFILE_PATTERNS = (
    *("Dockerfile", "Dockerfile[.-]*", "*.Dockerfile", "*.dockerfile"),
    *("Containerfile", "Containerfile[.-]*"),
)
INSTALL_FILE_PATTERNS = (
    *("*requirements*.txt", "*requirements*.in", "requirements/*.txt", "requirements/*.in", "pyproject.toml"),
    *("setup.cfg", "Pipfile", "environment*.yml", "environment*.yaml"),
)
_DEVELOPMENT_NAME = re.compile(
    r"dev|test|lint|doc|typ(?:es|ing)|check|ci\b|bench|build|constraint", re.IGNORECASE
)
_PLAIN_BASE_IMAGE = re.compile(
    r"(?:docker\.io/)?(?:library/)?"
    r"(?:python|debian|ubuntu|alpine|fedora|nvidia/cuda|ghcr\.io/astral-sh/uv)(?:[:@]|$)"
)


class CopyInstruction(msgspec.Struct, frozen=True, array_like=True):
    """One COPY or ADD from the build context. sources: as written, without flags."""

    sources: tuple[str, ...]
    target: str
    line: int


class FileInstalls(msgspec.Struct, frozen=True, array_like=True):
    """What one file installs.

    copies: the copies of a Dockerfile from its build context; None for other files. has_plain_base: its base
    image contains only Linux or Python, so that nothing else provides packages.
    """

    requirements: Requirements
    copies: tuple[CopyInstruction, ...] | None = None
    has_plain_base: bool = False


class DockerfileInstructionLike(Protocol):
    """An instruction of a Dockerfile: its keyword in capitals, its arguments, flags and line."""

    @property
    def keyword(self) -> str: ...
    @property
    def arguments(self) -> str: ...
    @property
    def flags(self) -> Mapping[str, str]: ...
    @property
    def line(self) -> int: ...
    def argv(self) -> tuple[str, ...] | None:
        """Return its arguments as a list; None if they cannot be split."""


_READERS_BY_NAME: dict[str, Callable[[str], Requirements]] = {
    "pyproject.toml": requirements.read_pyproject,
    "setup.cfg": requirements.read_setup_cfg,
    "Pipfile": requirements.read_pipfile,
}


def read_install_file(path: str, text: str) -> FileInstalls:
    """Return what a file installs whose name matches INSTALL_FILE_PATTERNS.

    The packages of a requirements file for development, by its name, are `dev_packages`.
    """
    name = os.path.basename(path)
    if name in _READERS_BY_NAME:
        return FileInstalls(_READERS_BY_NAME[name](text))
    if name.endswith((".yml", ".yaml")):
        return FileInstalls(requirements.read_conda(text))
    declared = requirements.read_requirements(text)
    if _DEVELOPMENT_NAME.search(name.replace("requirements", "")):
        return FileInstalls(Requirements((), declared.packages, declared.includes, declared.has_unnamed))
    return FileInstalls(declared)


def read_dockerfile_installs(instructions: Iterable[DockerfileInstructionLike]) -> FileInstalls:
    """Return what a Dockerfile installs with pip and copies from its build context."""
    packages: list[PackageRequirement] = []
    includes: list[str] = []
    copies: list[CopyInstruction] = []
    bases: list[str] = []
    stages: set[str] = set()
    has_unnamed = False
    for item in instructions:
        if item.keyword == "FROM":
            words = item.arguments.split()
            bases += [base for base in words[:1] if base.lower() not in stages]
            stages |= {words[2].lower()} if len(words) > 2 else set()
        elif item.keyword == "RUN":
            declared = requirements.read_pip_lines(item.arguments, item.line)
            packages += declared.packages
            includes += declared.includes
            has_unnamed = has_unnamed or declared.has_unnamed
        elif item.keyword in ("COPY", "ADD") and "from" not in item.flags:
            copy = _parse_copy(item)
            if copy is not None:
                copies.append(copy)
    has_plain_base = bool(bases) and all(map(_PLAIN_BASE_IMAGE.match, bases))
    return FileInstalls(
        Requirements(tuple(packages), (), tuple(includes), has_unnamed), tuple(copies), has_plain_base
    )


def _parse_copy(item: DockerfileInstructionLike) -> CopyInstruction | None:
    words = item.argv()
    if words is None or len(words) < 2 or "<<" in item.arguments:
        return None
    return CopyInstruction(words[:-1], words[-1], item.line)
