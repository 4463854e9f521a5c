"""A package is installed and never imported

Each makes images larger, starts slower, and brings what it needs itself. Requirement files, pyproject.toml,
setup.py, setup.cfg, Pipfile, conda's environments and the `pip install` lines of Dockerfiles are read. A
list that a Dockerfile installs is held against the files that the image holds; any other against the nearest
folder above it that uses a third of it, with what its files import of the tree.

Not told: tools that work by a command or as a plugin, what another package loads by itself (`sentencepiece`
for `transformers`), what another brings along anyway, what a text names by its path, lists for testing and
building. The module of a package is known by a table or is called like it; the message says what was looked
for.

Instead: take it out, or move it to the list of those who need it.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.facts.imported import IMPORTED
from argosy.refit.facts.installs import INSTALLS
from argosy.refit.finding import Finding
from argosy.refit.rule import Case, Rule
from argosy.refit.supply import Supply, find_supplies, imports_of, local_tops
from argosy.refit.tree import Tree
from argosy.source.distributions import (
    brought_by,
    given_by,
    givers,
    gives,
    is_tool,
    loaders_of,
    may_give,
    modules_of,
)


def check(tree: Tree) -> Iterator[Finding]:
    """Tell each package once for a list."""
    imported = tree.facts(IMPORTED)
    for supply in tree.derived(find_supplies):
        taken, named = imports_of(imported, supply.files)
        if not taken:
            continue
        projects = {item.asked.project for item in tree.derived(find_supplies)}
        yield from _unused(supply, taken, named, projects, tree.derived(local_tops))


def _unused(
    supply: Supply, taken: set[str], named: set[str], projects: set[str], local: frozenset[str]
) -> Iterator[Finding]:
    names = {item.name for item in supply.asked.packages}
    used = givers(names, taken | named)
    # What nothing gives may be what a package is called inside that the table does not know.
    open_ = taken - local - given_by(names, taken)
    # A version that is held for another package's sake is installed anyway.
    brought = {module for name in names for module in brought_by(name)}
    told: set[str] = set()
    for item in supply.asked.packages:
        if item.name in used | told | projects or is_tool(item.name):
            continue
        if any(loader in taken for loader in loaders_of(item.name)):
            continue
        if any(may_give(item.name, top) for top in open_) or gives(item.name, brought):
            continue
        told.add(item.name)
        modules = " or ".join(f"`{module}`" for module in modules_of(item.name)[:3])
        message = f"`{item.shown}` is installed, and none of {len(supply.files)} files imports {modules}"
        yield Finding(supply.path, item.line, item.column, "", message, symbol=item.name)


RULE = Rule(
    code="I601",
    title="installed, never imported",
    action="review",
    needs=(IMPORTED, INSTALLS),
    tree=check,
)

_APP = "import numpy\nfrom sklearn import svm\nimport yaml, zmq\n"
MUST = (
    Case(
        files={
            "app.py": _APP,
            "requirements.txt": "numpy>=1.2\npandas==2.0  # <--\nscikit-learn\nPyYAML\npyzmq\n",
        }
    ),
    Case(
        files={
            "app.py": _APP,
            "Dockerfile": "FROM python:3.12\nCOPY . /app\nRUN pip install -q numpy 'torch==2.1' # <--\n",
        }
    ),
    Case(
        files={
            "a/app.py": "import torch\n",
            "b/app.py": "import numpy\n",
            "docker/b.Dockerfile": "FROM python:3.12\nCOPY b /app\nCOPY docker/b.txt /tmp/r.txt\n"
            "RUN pip install -r /tmp/r.txt\n",
            "docker/requirements.b.txt": "",
            "requirements/x.txt": "flask  # <--\n",
        }
    ),
    Case(
        files={
            "a/app.py": "import torch\n",
            "b/app.py": "import numpy\n",
            "docker/Dockerfile": "FROM python:3.12\nCOPY b /app\nCOPY docker/requirements.txt /tmp/all.txt\n"
            "RUN pip install -r /tmp/all.txt\n",
            "docker/requirements.txt": "torch  # <--\nnumpy\n",
        }
    ),
    Case(
        files={
            "app.py": _APP,
            "pyproject.toml": "[project]\nname = 'x'\ndependencies = [\n  'flask',  # <--\n  'numpy',\n]\n",
        }
    ),
    Case(
        files={
            "app.py": _APP,
            "setup.py": "from setuptools import setup\nsetup(install_requires=['flask', 'numpy'])  # <--\n",
        }
    ),
)
MUST_NOT = (
    Case(files={"app.py": "import flask\n", "requirements.txt": "flask\nWerkzeug==3.1\n"}),
    Case(
        files={
            "app.py": "import cv2, PIL, bs4\n",
            "requirements.txt": "opencv-python\nPillow\nbeautifulsoup4[lxml]\n",
        }
    ),
    Case(
        files={
            "app.py": _APP,
            "requirements.txt": "-r other.txt\n--index-url https://x.y\n# torch\nnumpy # torch\n",
        }
    ),
    Case(
        files={
            "app.py": _APP,
            "requirements-dev.txt": "flask\n",
            "requirements.txt": "pytest\nblack\nuvicorn\n",
        }
    ),
    Case(
        files={
            "app.py": "import transformers\n",
            "requirements.txt": "transformers\nsentencepiece\naccelerate\n",
        }
    ),
    Case(
        files={
            "app.py": "import flask\nlogging = 'pythonjsonlogger.jsonlogger.JsonFormatter'\n",
            "requirements.txt": "flask\npython-json-logger\n",
        }
    ),
    Case(files={"app.py": "import odd_name\n", "requirements.txt": "python-odd-name-wheel\n"}),
    Case(files={"app.py": "import numpy\ndef f(:\n    import torch\n", "requirements.txt": "numpy\n"}),
    Case(
        files={
            "broken.py": "import torch\ndef f(:\n",
            "app.py": "import numpy\n",
            "requirements.txt": "torch\nnumpy\n",
        }
    ),
    Case(
        files={
            "services/x/app.py": "import shared.model\n",
            "shared/model.py": "import torch\n",
            "services/x/requirements.txt": "torch\n",
        }
    ),
    Case(files={"app.py": "import google.cloud.pubsub\n", "requirements.txt": "google-cloud-pubsub\n"}),
    Case(files={"readme.txt": "torch\n", "requirements.txt": "torch\n"}),
)
