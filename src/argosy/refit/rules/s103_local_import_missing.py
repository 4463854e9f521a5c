"""A local module that is imported is not there, or cannot be loaded

A module or a name that the tree does not have, though its package is there; a relative import that leads
out of every package; or a file that does not parse, which ends whoever imports it.

Folders are searched as for a script: its own first, then what it adds to sys.path, then those above, up to
the root of the audit. A file in a package that says nothing of being run is a module: there `import x` means
no neighbour `x.py`, but what is installed, which is none of this rule's business. So does the name of a
folder without `__init__`, unless that lies beside the file or at the root and no true package has its name.

Instead: mend the import, or bring the module back. An import under `except ImportError` is told with that
remark.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from argosy.refit.facts.faults import FAULTS
from argosy.refit.facts.imports import IMPORTS
from argosy.refit.facts.modules import finder_of, library, reached
from argosy.refit.facts.surface import SURFACE
from argosy.refit.finding import Finding
from argosy.refit.rule import Case, Rule
from argosy.refit.tree import Tree
from argosy.source import flow
from argosy.source.closure import Missing
from argosy.source.facts import Facts
from argosy.source.modules import Finder, is_standard
from argosy.source.startup import tell_missing
from argosy.source.text import Unparsed

_HOW = {"read": "cannot be read", "parse": "does not parse", "compile": "does not compile"}


def check(tree: Tree, path: str) -> Iterator[Finding]:
    """Tell each thing that is missing once for a file, at its surest import."""
    closure = reached(tree, path)
    held = tree.fact(IMPORTS, path)
    if closure is None or held is None:
        return
    finder = finder_of(tree, path, held)
    told: set[str] = set()
    for item in sorted(closure.missing, key=lambda item: (item.reach, item.item.line)):
        if _is_beside(tree, path, item) if item.item.level else _is_hidden(tree, path, finder, item.module):
            continue
        say, error = tell_missing(item, lambda module=item.module: _names(finder, tree, module))  # type: ignore[misc]
        if say.subject not in told:
            told.add(say.subject)
            message = say.message + (" (its absence is caught)" if flow.is_caught(error, item.caught) else "")
            at = item.item
            yield Finding(path, at.line, at.column, "", message, symbol=say.subject, hint=say.hint)
    for node in list(closure.nodes.values())[1:]:
        if isinstance(node.facts, Unparsed):
            step, fault = node.way[-1], node.facts
            name = node.module.name if node.module is not None else step.module
            if _is_hidden(tree, path, finder, name):
                continue
            where = f"{fault.path}:{fault.line}:{fault.column}"
            message = f"imports `{name}`, which {_HOW[fault.stage]}: {fault.message} ({where})"
            yield Finding(path, step.line, step.column, "", message, symbol=f"{name}:")


def _is_hidden(tree: Tree, path: str, finder: Finder, name: str) -> bool:
    """Return whether what a name would find is on nobody's sys.path: the name means something else.

    That is so of what lies within a package of the file, but for the folder of a script; of a folder of the
    same word, which a package goes before wherever it lies; and a module called as one of the standard
    library does not import itself.
    """
    top = finder.find(name.partition(".")[0])
    if top is None:
        return False
    if top.kind == "namespace":
        is_far = finder.is_assumed(top) and finder.folder_of(top) != tree.root
        return is_far or top.name in tree.derived(_packages)
    whole = os.path.join(tree.root, path)
    if top.path == whole and not finder.roots and is_standard(top.name):
        return True
    inside = finder.folder_of(top)
    is_within = whole.startswith(f"{inside}{os.sep}") and tree.is_package(inside)
    return is_within and inside not in finder.roots


def _is_beside(tree: Tree, path: str, item: Missing) -> bool:
    """Return whether dots lead from the file to its module, whatever the packages above are taken for."""
    folder = os.path.dirname(os.path.join(tree.root, path))
    for _ in range(item.item.level - 1):
        folder = os.path.dirname(folder)
    whole = os.path.normpath(os.path.join(folder, *item.item.module.split(".")))
    folder, last = os.path.split(whole)
    folders = tree.finder(path).folders
    is_there = folders.has_file(folder, f"{last}.py") or folders.has_folder(folder, last)
    return item.why == "module" and is_there


def _packages(tree: Tree) -> frozenset[str]:
    """Return the names of the folders of the tree that have an `__init__`."""
    folders = (os.path.dirname(path) for path in tree.paths if path.endswith("/__init__.py"))
    return frozenset(map(os.path.basename, folders))


def _names(finder: Finder, tree: Tree, module: str) -> list[str]:
    found = finder.find(module)
    is_file = found is not None and found.kind == "source"
    facts = tree.derived(library).facts(found.path) if found is not None and is_file else None
    return list(facts.names) if isinstance(facts, Facts) else []


RULE = Rule(
    code="S103",
    title="local import missing",
    action="review",
    needs=(IMPORTS,),
    sees=(SURFACE, FAULTS),
    link=check,
)

MUST = (
    Case(
        files={
            "pack/__init__.py": "",
            "pack/a.py": "import pack.gone  # <--\nfrom pack import b\n",
            "pack/b.py": "from pack.a import nothing  # <--\nfrom . import c  # <--\n",
        }
    ),
    Case(files={"main.py": "import broken  # <--\n", "broken.py": "def f(:\n"}),
    Case(
        files={"main.py": "def f():\n    from near import helper  # <--\n", "near.py": "def help(): pass\n"}
    ),
    Case(
        files={
            "main.py": "try:\n    import near.gone  # <--\nexcept ImportError:\n    pass\n",
            "near/x.py": "",
        }
    ),
    Case(files={"main.py": "from .. import far  # <--\n"}),
    Case(files={"main.py": "from space import gone  # <--\n", "space/near.py": ""}),
    Case(
        files={
            "pack/__init__.py": "",
            "pack/tool.py": "if __name__ == '__main__':\n    import pack.gone  # <--\n",
        }
    ),
    Case(  # it is run, so that its folder comes first
        files={
            "pack/__init__.py": "",
            "pack/queue.py": "",
            "pack/tool.py": "from queue import Queue  # <--\nif __name__ == '__main__':\n    Queue()\n",
        }
    ),
    Case(files={"test/lib/a/x.py": "from .gone import y  # <--\n", "test/lib/a/test.py": ""}),
    Case(files={"queue.py": "", "tool.py": "from queue import Queue  # <--\n"}),
)
MUST_NOT = (
    Case(files={"examples/django/manage.py": "", "examples/django/app/a.py": "import django.db\n"}),
    Case(files={"src/lib/__init__.py": "", "lib/x.py": "", "use.py": "import lib.core\n"}),
    Case(
        files={
            "test/lib/a/x.py": "from .near import y\n",
            "test/lib/a/test.py": "",
            "test/lib/a/near.py": "y = 1",
        }
    ),
    Case(files={"main.py": "import os, json.decoder\nimport numpy\nimport not_here\n"}),
    Case(files={"main.py": "from near import anything\n", "near.py": "from x import *\n"}),
    Case(files={"main.py": "from near import anything\n", "near.py": "def __getattr__(name): ...\n"}),
    Case(files={"deep/down/main.py": "from near import it\n", "near.py": "it = 1\n"}),
    Case(
        files={
            "app/main.py": "import sys, os\n"
            "sys.path.insert(0, os.path.join(os.path.dirname(__file__), '../lib'))\n"
            "import tools\n",
            "lib/tools.py": "",
        }
    ),
    Case(
        files={
            "main.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import near.gone\n",
            "near/x.py": "",
        }
    ),
    Case(  # a module of a package means another one than its neighbour
        files={
            "pack/__init__.py": "",
            "pack/collections.py": "",
            "pack/dask.py": "",
            "pack/logging.py": "import logging.handlers\n",
            "pack/sub/__init__.py": "",
            "pack/sub/a.py": "from collections import deque\nfrom dask import delayed\n",
            "pack/sub/run.py": "from dask import delayed\nif __name__ == '__main__':\n    delayed()\n",
            "bare/logging.py": "import logging.handlers\n",
            "pack/sub/pack.py": "from . import a\nfrom .. import dask\n",
        }
    ),
)
