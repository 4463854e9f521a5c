"""What files of a project install: requirement files, Dockerfiles, and the texts of packaging tools."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator

from argosy.fleet.dockerfile import read_instructions
from argosy.refit.fact import FactKind
from argosy.refit.file import PythonFile, TextFile
from argosy.source.distributions import normalized
from argosy.source.installs import DOCKERFILES, LISTS, Installs, read_image, read_list
from argosy.source.requirements import Requirement, Requirements, requirement_in


def collect(file: PythonFile) -> Installs:
    """Take the literal `install_requires` of a setup.py."""
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
            yield Requirement(made.name, made.shown, made.line, file.parsed.column(node))


def collect_text(file: TextFile) -> Installs | None:
    if os.path.basename(file.path).endswith((".cfg", ".toml", ".txt", ".in", ".yml", ".yaml", "Pipfile")):
        return read_list(file.path, file.text)
    return read_image(read_instructions(file.text))


INSTALLS: FactKind[Installs] = FactKind(
    "installs",
    Installs,
    collect,
    only="setup.py",
    names=(*LISTS, *DOCKERFILES),
    collect_text=collect_text,
)
