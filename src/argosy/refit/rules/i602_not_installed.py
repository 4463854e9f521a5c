"""A package is imported and nothing installs it

On the next machine the import fails. Imports are compared with the lists that apply to the file (requirement
files, pyproject.toml, setup.py, Dockerfiles and others; I601 says which list applies to which files), and
with what the best known packages install along with them. Reported once for a package, at its first import,
and again for each image that copies named parts of the tree and lacks what they import.

Not reported: imports that may fail (caught, or under a condition or a platform check), tests, modules of the
tree, files to which no list applies, lists that install something without a name (a repository, a variable),
images whose base is not a plain one.

Instead: add it to the list of the other packages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from argosy.refit.analysis.facts.external_imports import (
    EXTERNAL_IMPORTS,
    ExternalImports,
    ExternalPackageImport,
)
from argosy.refit.analysis.facts.installed_packages import INSTALLS
from argosy.refit.analysis.requirement_lists import RequirementList, find_requirement_lists, local_top_modules
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_tree import SourceTree
from argosy.source.distributions import bundled_modules, can_provide, is_provider, normalize_name


def check(tree: SourceTree) -> Iterator[Finding]:
    """Report each package once, at its first import, then what each image lacks."""
    requirement_lists = tree.compute_once(find_requirement_lists)
    local = tree.compute_once(local_top_modules)
    imported = tree.facts(EXTERNAL_IMPORTS)
    installed_by_lists: dict[tuple[int, ...], _InstalledPackages] = {}
    missing: dict[str, list[tuple[str, ExternalPackageImport]]] = {}
    for path in imported:
        list_indexes = tuple(at for at, item in enumerate(requirement_lists) if path in item.files)
        if list_indexes:
            if list_indexes not in installed_by_lists:
                installed_by_lists[list_indexes] = _InstalledPackages(
                    [requirement_lists[at] for at in list_indexes], local
                )
            _add_missing(missing, installed_by_lists[list_indexes], path, imported[path])
    for top_module, imports in sorted(missing.items()):
        yield _make_finding(top_module, imports, "no list for this file installs it")
    by_path = {item.path: item for item in requirement_lists}
    for requirement_list in requirement_lists:
        if requirement_list.is_dockerfile and requirement_list.is_self_contained:
            installed = _InstalledPackages(
                [requirement_list, *(by_path[path] for path in requirement_list.includes)], local
            )
            missing_in_image: dict[str, list[tuple[str, ExternalPackageImport]]] = {}
            for path in sorted(requirement_list.files & imported.keys()):
                _add_missing(missing_in_image, installed, path, imported[path])
            for top_module, imports in sorted(missing_in_image.items()):
                if top_module not in missing:
                    yield _make_finding(
                        top_module,
                        imports,
                        f"the image of `{requirement_list.path}` has the file without it",
                        requirement_list.path,
                    )


def _add_missing(
    missing: dict[str, list[tuple[str, ExternalPackageImport]]],
    installed: _InstalledPackages,
    path: str,
    imported: ExternalImports,
) -> None:
    if imported.is_test_file or path.endswith("setup.py"):
        return
    for item in imported.packages:
        if not item.is_optional and not installed.has(item.top_module):
            missing.setdefault(item.top_module, []).append((path, item))


def _make_finding(
    top_module: str, imports: list[tuple[str, ExternalPackageImport]], reason: str, image_path: str = ""
) -> Finding:
    path, item = imports[0]
    more = f", and in {len(imports) - 1} more files" if len(imports) > 1 else ""
    message = f"`{top_module}` is imported here{more}, and {reason}"
    return Finding(
        path,
        item.line,
        item.column,
        "",
        message,
        symbol=f"{top_module}:{image_path}" if image_path else top_module,
    )


class _InstalledPackages:
    """The packages that the lists for a file install."""

    def __init__(self, requirement_lists: Iterable[RequirementList], local: frozenset[str]) -> None:
        requirements = [item.requirements for item in requirement_lists]
        self.names = {item.name for one in requirements for item in (*one.packages, *one.dev_packages)}
        # A project without requirements says nothing about what it needs.
        self.has_unnamed = any(one.has_unnamed for one in requirements) or not self.names
        self.names |= {one.project for one in requirements if one.project}
        self.bundled = {module for name in self.names for module in bundled_modules(name)}
        self.local = local
        self.known: dict[str, bool] = {}

    def has(self, top_module: str) -> bool:
        """Return whether a package is installed, or may be."""
        if top_module not in self.known:
            self.known[top_module] = (
                self.has_unnamed
                or top_module in self.local
                or top_module in self.bundled
                or any(
                    is_provider(name, [top_module]) or can_provide(name, top_module) for name in self.names
                )
                or normalize_name(top_module) in ("setuptools", "pkg-resources", "pip")
            )
        return self.known[top_module]


RULE = Rule(
    code="I602",
    title="imported, not installed",
    action="review",
    fact_kinds=(EXTERNAL_IMPORTS, INSTALLS),
    check_tree=check,
)

MUST = (
    RuleCase(
        files={
            "a.py": "import os, zmq\nimport numpy as np  # <--\n",
            "b.py": "import numpy\n",
            "requirements.txt": "pyzmq\n",
        }
    ),
    RuleCase(
        files={
            "a.py": "def f():\n    from PIL import Image  # <--\n",
            "pyproject.toml": "[project]\nname = 'a'\ndependencies = ['zmq']\n",
        }
    ),
    RuleCase(
        files={"a.py": "import cv2  # <--\n", "Dockerfile": "FROM python\nCOPY . .\nRUN pip install numpy\n"}
    ),
    RuleCase(
        files={
            "app/a.py": "import pydantic  # <--\nimport zmq\n",
            "app/b.py": "import pydantic\n",
            "requirements.txt": "pydantic\npyzmq\n",
            "Dockerfile": "FROM python:3.12-slim\nCOPY app /app\nRUN pip install pyzmq\n",
            "other.py": "",
        }
    ),
)
MUST_NOT = (
    RuleCase(
        files={
            "app/a.py": "import pydantic\n",
            "other.py": "",
            "requirements.txt": "pydantic\n",
            "Dockerfile": "FROM base:1\nCOPY app /app\nRUN pip install pyzmq\n",
            "slim.Dockerfile": "FROM python:3.12 AS build\nCOPY requirements.txt /\n"
            "RUN pip install -r /requirements.txt\nFROM build\nCOPY app /app\n",
        }
    ),
    RuleCase(files={"a.py": "import numpy\n"}),
    RuleCase(files={"a.py": "import numpy\n", "requirements.txt": "# nothing yet\n"}),
    RuleCase(
        files={
            "a.py": "import cv2, yaml, near, starlette\n",
            "near.py": "",
            "requirements.txt": "opencv-python-headless\npyyaml\nfastapi\n",
        }
    ),
    RuleCase(
        files={
            "a.py": "try:\n    import numpy\nexcept ImportError:\n    numpy = None\n",
            "requirements.txt": "pyzmq\n",
        }
    ),
    RuleCase(files={"tests/test_a.py": "import numpy\n", "requirements.txt": "pyzmq\n"}),
    RuleCase(files={"a.py": "import numpy\n", "requirements.txt": "pyzmq\n-e git+https://x/y\n"}),
    RuleCase(files={"a.py": "import numpy\n", "sub/requirements.txt": "pyzmq\n", "sub/b.py": "import zmq\n"}),
    RuleCase(
        files={"a.py": "import numpy\n", "requirements.txt": "pyzmq\n", "requirements-test.txt": "numpy\n"}
    ),
    RuleCase(
        files={
            "a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy\n",
            "requirements.txt": "pyzmq\n",
        }
    ),
    RuleCase(files={"a.py": "import fancy\n", "requirements.txt": "fancy-python\n"}),
)
