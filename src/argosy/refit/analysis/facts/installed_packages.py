"""The packages that a project installs: by requirement files, Dockerfiles, and packaging metadata."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator

from argosy.fleet.dockerfile import read_instructions
from argosy.refit.core.fact import FactKind
from argosy.refit.core.source_file import PythonFile, TextFile
from argosy.source.distributions import normalize_name
from argosy.source.install_manifests import (
    DOCKERFILE_PATTERNS,
    INSTALL_FILE_PATTERNS,
    FileInstalls,
    read_dockerfile_installs,
    read_install_file,
)
from argosy.source.requirements import PackageRequirement, Requirements, parse_requirement


def collect(file: PythonFile) -> FileInstalls:
    """Return the literal `install_requires` of a setup.py."""
    found: list[PackageRequirement] = []
    development: list[PackageRequirement] = []
    has_unnamed, project = False, ""
    for call, _ in file.nodes(ast.Call):
        for item in call.keywords:
            if item.arg == "install_requires":
                nodes = item.value.elts if isinstance(item.value, ast.List | ast.Tuple) else []
                listed = list(_literal_requirements(file, nodes))
                found += listed
                has_unnamed = not nodes or len(listed) != len(nodes)
            elif item.arg in ("tests_require", "setup_requires") and isinstance(item.value, ast.List):
                development += _literal_requirements(file, item.value.elts)
            elif item.arg == "name" and isinstance(item.value, ast.Constant):
                project = normalize_name(str(item.value.value))
    return FileInstalls(
        Requirements(tuple(found), tuple(development), has_unnamed=has_unnamed, project=project)
    )


def _literal_requirements(file: PythonFile, nodes: list[ast.expr]) -> Iterator[PackageRequirement]:
    for node in nodes:
        text = node.value if isinstance(node, ast.Constant) else None
        requirement = parse_requirement(text, node.lineno) if isinstance(text, str) else None
        if requirement is not None:
            yield PackageRequirement(
                requirement.name, requirement.written_name, requirement.line, file.parsed.column(node)
            )


def collect_text(file: TextFile) -> FileInstalls | None:
    if os.path.basename(file.path).endswith((".cfg", ".toml", ".txt", ".in", ".yml", ".yaml", "Pipfile")):
        return read_install_file(file.path, file.text)
    return read_dockerfile_installs(read_instructions(file.text))


INSTALLS: FactKind[FileInstalls] = FactKind(
    "installs",
    FileInstalls,
    collect,
    only_filename="setup.py",
    file_patterns=(*INSTALL_FILE_PATTERNS, *DOCKERFILE_PATTERNS),
    collect_text=collect_text,
)
