"""What files of a project install: requirement files, Dockerfiles, and the texts of packaging tools."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Iterator

import msgspec

from argosy.fleet.dockerfile import Instruction, read_instructions
from argosy.refit.fact import FactKind
from argosy.refit.file import PythonFile, TextFile
from argosy.source import requirements
from argosy.source.distributions import normalized
from argosy.source.requirements import Requirement, Requirements, requirement_in

DOCKERFILES = (
    *("Dockerfile", "Dockerfile[.-]*", "*.Dockerfile", "*.dockerfile"),
    *("Containerfile", "Containerfile[.-]*"),
)
_NAMES = (
    *("*requirements*.txt", "*requirements*.in", "requirements/*.txt", "requirements/*.in", "pyproject.toml"),
    *("setup.cfg", "Pipfile", "environment*.yml", "environment*.yaml", *DOCKERFILES),
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


def collect(file: PythonFile) -> Installs | None:
    """Take the literal `install_requires` of a setup.py."""
    if os.path.basename(file.path) != "setup.py":
        return None
    found: list[Requirement] = []
    aside: list[Requirement] = []
    is_open, project = False, ""
    for call, _ in file.nodes(ast.Call):
        for item in call.keywords:
            if item.arg == "install_requires":
                nodes = item.value.elts if isinstance(item.value, ast.List | ast.Tuple) else []
                listed = list(_literals(file, nodes))
                found += listed
                is_open = not nodes or len(listed) != len(nodes)
            elif item.arg in ("tests_require", "setup_requires") and isinstance(item.value, ast.List):
                aside += _literals(file, item.value.elts)
            elif item.arg == "name" and isinstance(item.value, ast.Constant):
                project = normalized(str(item.value.value))
    return Installs(Requirements(tuple(found), tuple(aside), is_open=is_open, project=project))


def _literals(file: PythonFile, nodes: list[ast.expr]) -> Iterator[Requirement]:
    for node in nodes:
        text = node.value if isinstance(node, ast.Constant) else None
        made = requirement_in(text, node.lineno) if isinstance(text, str) else None
        if made is not None:
            yield msgspec.structs.replace(made, column=file.parsed.column(node))


_READERS: dict[str, Callable[[str], Requirements]] = {
    "pyproject.toml": requirements.read_pyproject,
    "setup.cfg": requirements.read_setup_cfg,
    "Pipfile": requirements.read_pipfile,
}


def collect_text(file: TextFile) -> Installs | None:
    name = os.path.basename(file.path)
    if name in _READERS:
        return Installs(_READERS[name](file.text))
    if name.endswith((".yml", ".yaml")):
        return Installs(requirements.read_conda(file.text))
    if name.endswith((".txt", ".in")):
        return Installs(_list_of(file))
    return _image_of(file)


def _list_of(file: TextFile) -> Requirements:
    asked = requirements.read_requirements(file.text)
    if _ASIDE.search(os.path.basename(file.path).replace("requirements", "")):
        return Requirements((), asked.packages, asked.includes, asked.is_open)
    return asked


def _image_of(file: TextFile) -> Installs | None:
    packages: list[Requirement] = []
    includes: list[str] = []
    copied: list[Copied] = []
    bases: list[str] = []
    stages: set[str] = set()
    is_open = False
    for item in read_instructions(file.text):
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


INSTALLS: FactKind[Installs] = FactKind(
    "installs", Installs, collect, names=_NAMES, collect_text=collect_text
)
