"""Corrects an import that a folder beside the script shadows: it names the module from the root of the tree.

`from tools.client import call` in `service/agents/a.py`, where the tree has one module that ends so,
`service/tools/client.py`, and also a folder `service/agents/tools` without a `client`. A script's own folder
is searched first, so its `tools` is found, and the import fails. The import that other files use, `from
service.tools.client import ...`, finds the only module that can be meant. If a change of the search path made
the original import work somewhere, it would find the same file.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator

from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.name_resolution.module_view import ModuleView
from argosy.refit.repair.span_edit import SpanEdit
from argosy.refit.repair.startup.project_context import ProjectContext
from argosy.refit.repair.startup.startup_rule import StartupCase, StartupRule
from argosy.source.module_finder import is_standard

NAME = "shadowed-package"


def may_apply(view: ModuleView) -> bool:
    return "__main__" in view.text and next(_dotted_imports(view), None) is not None


def propose(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    folder = posixpath.dirname(view.path)
    for node, module in _dotted_imports(view):
        top = module.partition(".")[0]
        if not folder or is_standard(top) or context.has_module(module):
            continue
        is_hidden = context.has_folder(f"{folder}/{top}") and not context.has_file(
            _module_path(folder, module)
        )
        target = context.find_only_module(module) if is_hidden else None
        if target is None or not _defines_names(context, target, node) or not context.is_imported(target):
            continue
        edit = _build_edit(view, node, module, target)
        if edit is not None:
            description = (
                f"`{module}` is shadowed by `{folder}/{top}`; the only matching module is `{target}`"
            )
            yield RepairCandidate(NAME, node.lineno, (edit,), description)


def _dotted_imports(view: ModuleView) -> Iterator[tuple[ast.ImportFrom, str]]:
    """Yield the module-level imports of names from a module in a package, without guarded ones."""
    for node in view.body:
        if isinstance(node, ast.ImportFrom) and not node.level and "." in (node.module or ""):
            yield node, node.module or ""


def _module_path(folder: str, module: str) -> str:
    return f"{folder}/{module.replace('.', '/')}"


def _defines_names(context: ProjectContext, module: str, node: ast.ImportFrom) -> bool:
    return all(
        alias.name != "*" and context.classes.resolve(module, alias.name) is not None for alias in node.names
    )


def _build_edit(view: ModuleView, node: ast.ImportFrom, module: str, target: str) -> SpanEdit | None:
    start = view.offset(node.lineno, node.col_offset)
    match = re.compile(r"from[ \t]+" + re.escape(module) + r"(?=[ \t])").match(view.text, start)
    return SpanEdit(match.end() - len(module), match.end(), target) if match else None


_MAIN = "\n\nif __name__ == '__main__':\n    call()\n"
_SHADOWED = f"import sys\nfrom tools.client import call{_MAIN}"
_TREE = {
    "service/__init__.py": "",
    "service/tools/__init__.py": "",
    "service/tools/client.py": "def call(): pass\n",
    "service/agents/tools/other.py": "",
    "service/other.py": "from service.tools.client import call\n",
}
_PATH = "service/agents/a.py"
MUST_CHANGE = (
    StartupCase(_SHADOWED, _SHADOWED.replace("tools", "service.tools"), path=_PATH, files=_TREE),
    StartupCase(
        f"from tools.client import (\n    call as ask,\n)\n{_MAIN}",
        f"from service.tools.client import (\n    call as ask,\n)\n{_MAIN}",
        path=_PATH,
        files=_TREE,
    ),
)


def _files_without(path: str, **more: str) -> dict[str, str]:
    return {**{name: text for name, text in _TREE.items() if name != path}, **more}


MUST_NOT_CHANGE = (
    # Nothing shadows it: the search path may be changed somewhere.
    StartupCase(_SHADOWED, path=_PATH, files=_files_without("service/agents/tools/other.py")),
    # It is beside the script, or at the root.
    StartupCase(
        _SHADOWED, path=_PATH, files={**_TREE, "service/agents/tools/client.py": "def call(): pass\n"}
    ),
    StartupCase(_SHADOWED, path=_PATH, files={**_TREE, "tools/client.py": "def call(): pass\n"}),
    # Two matching modules.
    StartupCase(_SHADOWED, path=_PATH, files={**_TREE, "other/tools/client.py": "def call(): pass\n"}),
    # It does not have the name, or no other file imports it so.
    StartupCase(_SHADOWED, path=_PATH, files={**_TREE, "service/tools/client.py": "def ask(): pass\n"}),
    StartupCase(_SHADOWED, path=_PATH, files=_files_without("service/other.py")),
    # Its failure is already handled.
    StartupCase(
        f"try:\n    from tools.client import call\nexcept ImportError:\n    call = print\n{_MAIN}",
        path=_PATH,
        files=_TREE,
    ),
    # Not a script: it may be imported from another folder.
    StartupCase("from tools.client import call\n\ncall()\n", path=_PATH, files=_TREE),
    StartupCase(
        f"from email.client import call{_MAIN}",
        path=_PATH,
        files={**_TREE, "x/email/client.py": "call = 1\n"},
    ),
)

RULE = StartupRule(NAME, may_apply, propose, MUST_CHANGE, MUST_NOT_CHANGE)
