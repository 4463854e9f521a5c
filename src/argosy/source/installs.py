"""What one file of a project installs: a requirements file, a packaging tool's file, or a Dockerfile.

A Dockerfile comes as its instructions, since reading one is another floor's matter.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import msgspec

from argosy.source import requirements
from argosy.source.requirements import Requirement, Requirements

DOCKERFILES = (
    *("Dockerfile", "Dockerfile[.-]*", "*.Dockerfile", "*.dockerfile"),
    *("Containerfile", "Containerfile[.-]*"),
)
LISTS = (
    *("*requirements*.txt", "*requirements*.in", "requirements/*.txt", "requirements/*.in", "pyproject.toml"),
    *("setup.cfg", "Pipfile", "environment*.yml", "environment*.yaml"),
)
_ASIDE = re.compile(r"dev|test|lint|doc|typ(?:es|ing)|check|ci\b|bench|build|constraint", re.IGNORECASE)
_PLAIN = re.compile(
    r"(?:docker\.io/)?(?:library/)?"
    r"(?:python|debian|ubuntu|alpine|fedora|nvidia/cuda|ghcr\.io/astral-sh/uv)(?:[:@]|$)"
)


class Copied(msgspec.Struct, frozen=True, array_like=True):
    """One COPY or ADD from the build context. sources: as written, without the flags."""

    sources: tuple[str, ...]
    target: str
    line: int


class Installs(msgspec.Struct, frozen=True, array_like=True):
    """What one file installs.

    copied: what a Dockerfile takes from its context, None for other files. is_plain: it begins with an image
    of a Linux or of Python alone, so that nothing else brings packages.
    """

    asked: Requirements
    copied: tuple[Copied, ...] | None = None
    is_plain: bool = False


class Instruction(Protocol):
    """An instruction of a Dockerfile: its word in capitals, its text, flags and line."""

    @property
    def word(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def flags(self) -> Mapping[str, str]: ...
    @property
    def line(self) -> int: ...
    def words(self) -> tuple[str, ...] | None:
        """Return the words of its text; None for what is no list of words."""


_READERS: dict[str, Callable[[str], Requirements]] = {
    "pyproject.toml": requirements.read_pyproject,
    "setup.cfg": requirements.read_setup_cfg,
    "Pipfile": requirements.read_pipfile,
}


def read_list(path: str, text: str) -> Installs:
    """Return what a file of one of the LISTS names installs; a list by name for testing has helpers only."""
    name = os.path.basename(path)
    if name in _READERS:
        return Installs(_READERS[name](text))
    if name.endswith((".yml", ".yaml")):
        return Installs(requirements.read_conda(text))
    asked = requirements.read_requirements(text)
    if _ASIDE.search(name.replace("requirements", "")):
        return Installs(Requirements((), asked.packages, asked.includes, asked.is_open))
    return Installs(asked)


def read_image(instructions: Iterable[Instruction]) -> Installs:
    """Return what a Dockerfile installs by pip, and what it takes from its context."""
    packages: list[Requirement] = []
    includes: list[str] = []
    copied: list[Copied] = []
    bases: list[str] = []
    stages: set[str] = set()
    is_open = False
    for item in instructions:
        if item.word == "FROM":
            words = item.text.split()
            bases += [base for base in words[:1] if base.lower() not in stages]
            stages |= {words[2].lower()} if len(words) > 2 else set()
        elif item.word == "RUN":
            asked = requirements.read_pip_lines(item.text, item.line)
            packages += asked.packages
            includes += asked.includes
            is_open = is_open or asked.is_open
        elif item.word in ("COPY", "ADD") and "from" not in item.flags:
            taken = _copied(item)
            if taken is not None:
                copied.append(taken)
    is_plain = bool(bases) and all(map(_PLAIN.match, bases))
    return Installs(Requirements(tuple(packages), (), tuple(includes), is_open), tuple(copied), is_plain)


def _copied(item: Instruction) -> Copied | None:
    words = item.words()
    if words is None or len(words) < 2 or "<<" in item.text:
        return None
    return Copied(words[:-1], words[-1], item.line)
