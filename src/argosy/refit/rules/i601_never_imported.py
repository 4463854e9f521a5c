"""A package is installed and never imported

Each makes images larger and starts slower, and brings its own dependencies. Requirement files,
pyproject.toml, setup.py, setup.cfg, Pipfile, conda environments and the `pip install` lines of Dockerfiles
are read. A list that a Dockerfile installs is compared with the files in the image; any other list with the
nearest parent folder that uses a third of it, including the modules of the tree that its files import.

Not reported: tools used as a command or a plugin, packages that another package loads (`sentencepiece` for
`transformers`) or installs anyway, packages that a string names by path, lists for testing and building. The
module of a package comes from a table or from its name; the message names the modules that were looked for.

Instead: remove it, or move it to the list of those who need it.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.analysis.facts.external_imports import EXTERNAL_IMPORTS
from argosy.refit.analysis.facts.installed_packages import INSTALLS
from argosy.refit.analysis.requirement_lists import (
    RequirementList,
    find_imported_modules,
    find_requirement_lists,
    local_top_modules,
)
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_tree import SourceTree
from argosy.source.distributions import (
    bundled_modules,
    can_provide,
    find_providers,
    is_provider,
    is_tool,
    loaders_of,
    modules_of_distribution,
    modules_provided_by,
)


def check(tree: SourceTree) -> Iterator[Finding]:
    """Report each package once for a list."""
    imported = tree.facts(EXTERNAL_IMPORTS)
    for requirement_list in tree.compute_once(find_requirement_lists):
        imported_modules, modules_in_text = find_imported_modules(imported, requirement_list.files)
        if not imported_modules:
            continue
        projects = {item.requirements.project for item in tree.compute_once(find_requirement_lists)}
        yield from _find_unused(
            requirement_list,
            imported_modules,
            modules_in_text,
            projects,
            tree.compute_once(local_top_modules),
        )


def _find_unused(
    requirement_list: RequirementList,
    imported_modules: set[str],
    modules_in_text: set[str],
    projects: set[str],
    local: frozenset[str],
) -> Iterator[Finding]:
    names = {item.name for item in requirement_list.requirements.packages}
    used = find_providers(names, imported_modules | modules_in_text)
    # A module that no listed package provides may belong to one that the table does not know.
    unexplained = imported_modules - local - modules_provided_by(names, imported_modules)
    # A version pinned for another package is installed anyway.
    bundled = {module for name in names for module in bundled_modules(name)}
    reported: set[str] = set()
    for item in requirement_list.requirements.packages:
        if item.name in used | reported | projects or is_tool(item.name):
            continue
        if any(loader in imported_modules for loader in loaders_of(item.name)):
            continue
        if any(can_provide(item.name, top) for top in unexplained) or is_provider(item.name, bundled):
            continue
        reported.add(item.name)
        modules = " or ".join(f"`{module}`" for module in modules_of_distribution(item.name)[:3])
        message = (
            f"`{item.written_name}` is installed, "
            f"and none of {len(requirement_list.files)} files imports {modules}"
        )
        yield Finding(requirement_list.path, item.line, item.column, "", message, symbol=item.name)


RULE = Rule(
    code="I601",
    title="installed, never imported",
    action="review",
    fact_kinds=(EXTERNAL_IMPORTS, INSTALLS),
    check_tree=check,
)

_APP = "import numpy\nfrom sklearn import svm\nimport yaml, zmq\n"
MUST = (
    RuleCase(
        files={
            "app.py": _APP,
            "requirements.txt": "numpy>=1.2\npandas==2.0  # <--\nscikit-learn\nPyYAML\npyzmq\n",
        }
    ),
    RuleCase(
        files={
            "app.py": _APP,
            "Dockerfile": "FROM python:3.12\nCOPY . /app\nRUN pip install -q numpy 'torch==2.1' # <--\n",
        }
    ),
    RuleCase(
        files={
            "a/app.py": "import torch\n",
            "b/app.py": "import numpy\n",
            "docker/b.Dockerfile": "FROM python:3.12\nCOPY b /app\nCOPY docker/b.txt /tmp/r.txt\n"
            "RUN pip install -r /tmp/r.txt\n",
            "docker/requirements.b.txt": "",
            "requirements/x.txt": "flask  # <--\n",
        }
    ),
    RuleCase(
        files={
            "a/app.py": "import torch\n",
            "b/app.py": "import numpy\n",
            "docker/Dockerfile": "FROM python:3.12\nCOPY b /app\nCOPY docker/requirements.txt /tmp/all.txt\n"
            "RUN pip install -r /tmp/all.txt\n",
            "docker/requirements.txt": "torch  # <--\nnumpy\n",
        }
    ),
    RuleCase(
        files={
            "app.py": _APP,
            "pyproject.toml": "[project]\nname = 'x'\ndependencies = [\n  'flask',  # <--\n  'numpy',\n]\n",
        }
    ),
    RuleCase(
        files={
            "app.py": _APP,
            "setup.py": "from setuptools import setup\nsetup(install_requires=['flask', 'numpy'])  # <--\n",
        }
    ),
)
MUST_NOT = (
    RuleCase(files={"app.py": "import flask\n", "requirements.txt": "flask\nWerkzeug==3.1\n"}),
    RuleCase(
        files={
            "app.py": "import cv2, PIL, bs4\n",
            "requirements.txt": "opencv-python\nPillow\nbeautifulsoup4[lxml]\n",
        }
    ),
    RuleCase(
        files={
            "app.py": _APP,
            "requirements.txt": "-r other.txt\n--index-url https://x.y\n# torch\nnumpy # torch\n",
        }
    ),
    RuleCase(
        files={
            "app.py": _APP,
            "requirements-dev.txt": "flask\n",
            "requirements.txt": "pytest\nblack\nuvicorn\n",
        }
    ),
    RuleCase(
        files={
            "app.py": "import transformers\n",
            "requirements.txt": "transformers\nsentencepiece\naccelerate\n",
        }
    ),
    RuleCase(
        files={
            "app.py": "import flask\nlogging = 'pythonjsonlogger.jsonlogger.JsonFormatter'\n",
            "requirements.txt": "flask\npython-json-logger\n",
        }
    ),
    RuleCase(files={"app.py": "import odd_name\n", "requirements.txt": "python-odd-name-wheel\n"}),
    RuleCase(files={"app.py": "import numpy\ndef f(:\n    import torch\n", "requirements.txt": "numpy\n"}),
    RuleCase(
        files={
            "broken.py": "import torch\ndef f(:\n",
            "app.py": "import numpy\n",
            "requirements.txt": "torch\nnumpy\n",
        }
    ),
    RuleCase(
        files={
            "services/x/app.py": "import shared.model\n",
            "shared/model.py": "import torch\n",
            "services/x/requirements.txt": "torch\n",
        }
    ),
    RuleCase(files={"app.py": "import google.cloud.pubsub\n", "requirements.txt": "google-cloud-pubsub\n"}),
    RuleCase(files={"readme.txt": "torch\n", "requirements.txt": "torch\n"}),
)
