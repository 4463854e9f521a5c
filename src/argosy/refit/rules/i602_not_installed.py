"""A package is imported and nothing installs it

On the next machine the import fails. Held against what the lists for a file ask for (requirement files,
pyproject.toml, setup.py, Dockerfiles and others; I601 tells which list is for which files), with what the
best known packages bring along. Told once for a package, at its first import; and once more for each image
that takes named parts of the tree and lacks what they import.

Not told: what a file can do without (its absence is caught, or asked for under a condition or a platform),
tests, modules of the tree, files that no list is for, lists that install something without a name (a
repository, a variable), images that begin with another than a plain one.

Instead: ask for it where the others are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from argosy.refit.facts.imported import IMPORTED, Imported, Taken
from argosy.refit.facts.installs import INSTALLS
from argosy.refit.finding import Finding
from argosy.refit.rule import Case, Rule
from argosy.refit.supply import Supply, find_supplies, local_tops
from argosy.refit.tree import Tree
from argosy.source.distributions import brought_by, gives, may_give, normalized


def check(tree: Tree) -> Iterator[Finding]:
    """Tell each package once, where it is imported first, then what each image lacks."""
    supplies = tree.derived(find_supplies)
    local = tree.derived(local_tops)
    imported = tree.facts(IMPORTED)
    offers: dict[tuple[int, ...], _Offer] = {}
    lacking: dict[str, list[tuple[str, Taken]]] = {}
    for path in imported:
        which = tuple(at for at, supply in enumerate(supplies) if path in supply.files)
        if which:
            if which not in offers:
                offers[which] = _Offer([supplies[at] for at in which], local)
            _add_lacking(lacking, offers[which], path, imported[path])
    for top, places in sorted(lacking.items()):
        yield _told(top, places, "nothing that is for it installs it")
    by_path = {supply.path: supply for supply in supplies}
    for supply in supplies:
        if supply.is_image and supply.is_whole:
            offer = _Offer([supply, *(by_path[path] for path in supply.included)], local)
            missed: dict[str, list[tuple[str, Taken]]] = {}
            for path in sorted(supply.files & imported.keys()):
                _add_lacking(missed, offer, path, imported[path])
            for top, places in sorted(missed.items()):
                if top not in lacking:
                    yield _told(
                        top, places, f"the image of `{supply.path}` holds the file without it", supply.path
                    )


def _add_lacking(
    lacking: dict[str, list[tuple[str, Taken]]], offer: _Offer, path: str, imported: Imported
) -> None:
    if imported.is_test or path.endswith("setup.py"):
        return
    for item in imported.taken:
        if not item.is_optional and not offer.has(item.top):
            lacking.setdefault(item.top, []).append((path, item))


def _told(top: str, places: list[tuple[str, Taken]], why: str, where: str = "") -> Finding:
    path, item = places[0]
    more = f", and in {len(places) - 1} more files" if len(places) > 1 else ""
    message = f"`{top}` is imported here{more}, and {why}"
    return Finding(path, item.line, item.column, "", message, symbol=f"{top}:{where}" if where else top)


class _Offer:
    """What the lists for a file install."""

    def __init__(self, supplies: Iterable[Supply], local: frozenset[str]) -> None:
        asked = [supply.asked for supply in supplies]
        self.names = {item.name for one in asked for item in (*one.packages, *one.helpers)}
        # With nothing but its own name a project says nothing of what it needs.
        self.is_open = any(one.is_open for one in asked) or not self.names
        self.names |= {one.project for one in asked if one.project}
        self.brought = {module for name in self.names for module in brought_by(name)}
        self.local = local
        self.known: dict[str, bool] = {}

    def has(self, top: str) -> bool:
        """Return whether a package is installed, or may be."""
        if top not in self.known:
            self.known[top] = (
                self.is_open
                or top in self.local
                or top in self.brought
                or any(gives(name, [top]) or may_give(name, top) for name in self.names)
                or normalized(top) in ("setuptools", "pkg-resources", "pip")
            )
        return self.known[top]


RULE = Rule(
    code="I602",
    title="imported, not installed",
    action="review",
    needs=(IMPORTED, INSTALLS),
    tree=check,
)

MUST = (
    Case(
        files={
            "a.py": "import os, zmq\nimport numpy as np  # <--\n",
            "b.py": "import numpy\n",
            "requirements.txt": "pyzmq\n",
        }
    ),
    Case(
        files={
            "a.py": "def f():\n    from PIL import Image  # <--\n",
            "pyproject.toml": "[project]\nname = 'a'\ndependencies = ['zmq']\n",
        }
    ),
    Case(
        files={"a.py": "import cv2  # <--\n", "Dockerfile": "FROM python\nCOPY . .\nRUN pip install numpy\n"}
    ),
    Case(
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
    Case(
        files={
            "app/a.py": "import pydantic\n",
            "other.py": "",
            "requirements.txt": "pydantic\n",
            "Dockerfile": "FROM base:1\nCOPY app /app\nRUN pip install pyzmq\n",
            "slim.Dockerfile": "FROM python:3.12 AS build\nCOPY requirements.txt /\n"
            "RUN pip install -r /requirements.txt\nFROM build\nCOPY app /app\n",
        }
    ),
    Case(files={"a.py": "import numpy\n"}),
    Case(files={"a.py": "import numpy\n", "requirements.txt": "# nothing yet\n"}),
    Case(
        files={
            "a.py": "import cv2, yaml, near, starlette\n",
            "near.py": "",
            "requirements.txt": "opencv-python-headless\npyyaml\nfastapi\n",
        }
    ),
    Case(
        files={
            "a.py": "try:\n    import numpy\nexcept ImportError:\n    numpy = None\n",
            "requirements.txt": "pyzmq\n",
        }
    ),
    Case(files={"tests/test_a.py": "import numpy\n", "requirements.txt": "pyzmq\n"}),
    Case(files={"a.py": "import numpy\n", "requirements.txt": "pyzmq\n-e git+https://x/y\n"}),
    Case(files={"a.py": "import numpy\n", "sub/requirements.txt": "pyzmq\n", "sub/b.py": "import zmq\n"}),
    Case(files={"a.py": "import numpy\n", "requirements.txt": "pyzmq\n", "requirements-test.txt": "numpy\n"}),
    Case(
        files={
            "a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy\n",
            "requirements.txt": "pyzmq\n",
        }
    ),
    Case(files={"a.py": "import fancy\n", "requirements.txt": "fancy-python\n"}),
)
