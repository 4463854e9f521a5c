"""A local module that is imported does not exist or cannot be loaded

A module or a name that the tree does not have, though its package exists; a relative import that leaves the
top-level package; or an import of a file that does not parse.

Folders are searched as for a script: its own first, then what it adds to sys.path, then the parent folders up
to the root of the audit. A file in a package that is never run as a script is a module: there `import x` does
not find a neighbour `x.py`, but an installed package, which this rule does not check. The same holds for the
name of a folder without `__init__`, unless it is beside the file or at the root and no package has its name.

Instead: fix the import, or restore the module. An import under `except ImportError` is reported with that
remark.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from argosy.refit.analysis.facts.module_names import MODULE_EXPORTS, MODULE_IMPORTS
from argosy.refit.analysis.facts.tree_modules import build_facts_cache, follow_file_imports, module_finder_for
from argosy.refit.core.fact import PARSE_FAILURES
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_tree import SourceTree
from argosy.source import control_flow
from argosy.source.file_facts import FileFacts
from argosy.source.import_graph import MissingImport
from argosy.source.module_finder import ModuleFinder, is_standard
from argosy.source.python_source import Unparsed
from argosy.source.startup_check import diagnose_missing_import

_STAGE_MESSAGES = {"read": "cannot be read", "parse": "does not parse", "compile": "does not compile"}


def check(tree: SourceTree, path: str) -> Iterator[Finding]:
    """Report each missing import once for a file, at the place that runs most certainly."""
    closure = follow_file_imports(tree, path)
    imports = tree.fact(MODULE_IMPORTS, path)
    if closure is None or imports is None:
        return
    finder = module_finder_for(tree, path, imports)
    reported: set[str] = set()
    for item in sorted(closure.missing_imports, key=lambda item: (item.certainty, item.statement.line)):
        if (
            _is_relative_target_present(tree, path, item)
            if item.statement.level
            else _is_unreachable(tree, path, finder, item.module)
        ):
            continue
        startup_finding, error = diagnose_missing_import(
            item,
            lambda module=item.module: _exported_names(finder, tree, module),  # type: ignore[misc]
        )
        if startup_finding.subject not in reported:
            reported.add(startup_finding.subject)
            message = startup_finding.message + (
                " (its absence is caught)" if control_flow.is_caught(error, item.caught) else ""
            )
            at = item.statement
            yield Finding(
                path,
                at.line,
                at.column,
                "",
                message,
                symbol=startup_finding.subject,
                hint=startup_finding.hint,
            )
    for node in list(closure.nodes.values())[1:]:
        if isinstance(node.facts, Unparsed):
            step, unparsed = node.import_chain[-1], node.facts
            name = node.module.name if node.module is not None else step.module
            if _is_unreachable(tree, path, finder, name):
                continue
            location = f"{unparsed.path}:{unparsed.line}:{unparsed.column}"
            message = (
                f"imports `{name}`, which {_STAGE_MESSAGES[unparsed.stage]}: {unparsed.message} ({location})"
            )
            yield Finding(path, step.line, step.column, "", message, symbol=f"{name}:")


def _is_unreachable(tree: SourceTree, path: str, finder: ModuleFinder, name: str) -> bool:
    """Return whether the module found for a name is not on sys.path, so the name means something else.

    That holds for modules within a package of the file, except in a script's folder; for a folder whose name
    a package has elsewhere, since a package takes precedence; and for a module with a name of the standard
    library, which does not import itself.
    """
    top_module = finder.find(name.partition(".")[0])
    if top_module is None:
        return False
    if top_module.kind == "namespace":
        is_distant = finder.is_assumed(top_module) and finder.folder_of(top_module) != tree.root
        return is_distant or top_module.name in tree.compute_once(_package_names)
    absolute_path = os.path.join(tree.root, path)
    if top_module.path == absolute_path and not finder.roots and is_standard(top_module.name):
        return True
    directory = finder.folder_of(top_module)
    is_within = absolute_path.startswith(f"{directory}{os.sep}") and tree.is_package(directory)
    return is_within and directory not in finder.roots


def _is_relative_target_present(tree: SourceTree, path: str, item: MissingImport) -> bool:
    """Return whether a relative import finds its module by path, whatever the parent packages are."""
    directory = os.path.dirname(os.path.join(tree.root, path))
    for _ in range(item.statement.level - 1):
        directory = os.path.dirname(directory)
    target = os.path.normpath(os.path.join(directory, *item.statement.module.split(".")))
    directory, last = os.path.split(target)
    directories = tree.module_finder(path).folders
    is_there = directories.has_file(directory, f"{last}.py") or directories.has_folder(directory, last)
    return item.reason == "module" and is_there


def _package_names(tree: SourceTree) -> frozenset[str]:
    """Return the names of the folders of the tree that have an `__init__`."""
    directories = (os.path.dirname(path) for path in tree.paths if path.endswith("/__init__.py"))
    return frozenset(map(os.path.basename, directories))


def _exported_names(finder: ModuleFinder, tree: SourceTree, module: str) -> list[str]:
    found = finder.find(module)
    is_file = found is not None and found.kind == "source"
    facts = tree.compute_once(build_facts_cache).facts(found.path) if found is not None and is_file else None
    return list(facts.names) if isinstance(facts, FileFacts) else []


RULE = Rule(
    code="S103",
    title="local import missing",
    action="review",
    fact_kinds=(MODULE_IMPORTS,),
    shared_fact_kinds=(MODULE_EXPORTS, PARSE_FAILURES),
    check_links=check,
)

MUST = (
    RuleCase(
        files={
            "pack/__init__.py": "",
            "pack/a.py": "import pack.gone  # <--\nfrom pack import b\n",
            "pack/b.py": "from pack.a import nothing  # <--\nfrom . import c  # <--\n",
        }
    ),
    RuleCase(files={"main.py": "import broken  # <--\n", "broken.py": "def f(:\n"}),
    RuleCase(
        files={"main.py": "def f():\n    from near import helper  # <--\n", "near.py": "def help(): pass\n"}
    ),
    RuleCase(
        files={
            "main.py": "try:\n    import near.gone  # <--\nexcept ImportError:\n    pass\n",
            "near/x.py": "",
        }
    ),
    RuleCase(files={"main.py": "from .. import far  # <--\n"}),
    RuleCase(files={"main.py": "from space import gone  # <--\n", "space/near.py": ""}),
    RuleCase(
        files={
            "pack/__init__.py": "",
            "pack/tool.py": "if __name__ == '__main__':\n    import pack.gone  # <--\n",
        }
    ),
    RuleCase(  # it runs as a script, so its folder comes first
        files={
            "pack/__init__.py": "",
            "pack/queue.py": "",
            "pack/tool.py": "from queue import Queue  # <--\nif __name__ == '__main__':\n    Queue()\n",
        }
    ),
    RuleCase(files={"test/lib/a/x.py": "from .gone import y  # <--\n", "test/lib/a/test.py": ""}),
    RuleCase(files={"queue.py": "", "tool.py": "from queue import Queue  # <--\n"}),
)
MUST_NOT = (
    RuleCase(files={"examples/django/manage.py": "", "examples/django/app/a.py": "import django.db\n"}),
    RuleCase(files={"src/lib/__init__.py": "", "lib/x.py": "", "use.py": "import lib.core\n"}),
    RuleCase(
        files={
            "test/lib/a/x.py": "from .near import y\n",
            "test/lib/a/test.py": "",
            "test/lib/a/near.py": "y = 1",
        }
    ),
    RuleCase(files={"main.py": "import os, json.decoder\nimport numpy\nimport not_here\n"}),
    RuleCase(files={"main.py": "from near import anything\n", "near.py": "from x import *\n"}),
    RuleCase(files={"main.py": "from near import anything\n", "near.py": "def __getattr__(name): ...\n"}),
    RuleCase(files={"deep/down/main.py": "from near import it\n", "near.py": "it = 1\n"}),
    RuleCase(
        files={
            "app/main.py": "import sys, os\n"
            "sys.path.insert(0, os.path.join(os.path.dirname(__file__), '../lib'))\n"
            "import tools\n",
            "lib/tools.py": "",
        }
    ),
    RuleCase(
        files={
            "main.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import near.gone\n",
            "near/x.py": "",
        }
    ),
    RuleCase(  # a module of a package does not import its neighbour
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
