"""Start-up rules for imports that fail: of the module itself, and of a shadowed package."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator

from argosy.refit.core.source_file import module_name
from argosy.refit.repair.module_view import ModuleView
from argosy.refit.repair.project_context import ProjectContext
from argosy.refit.repair.repair_rule import RepairCandidate, RepairRule, StartupCase
from argosy.refit.transaction.text_edit import TextEdit
from argosy.source.module_finder import is_standard


def _may_self_import(view: ModuleView) -> bool:
    return any(_is_self_import(node, view.path) for node in view.body)


def propose_self_import(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    """Remove a module's import of itself.

    Loaded as a module, or as a script by its second copy, it imports names from a module that is not
    initialized yet: an ImportError in every run. The import is removed if the file defines all of the names
    itself, one of them below.
    """
    for index, node in enumerate(view.body):
        if not isinstance(node, ast.ImportFrom) or not _is_self_import(node, view.path):
            continue
        if view.has_own_lines(index) and _is_removable(view, node):
            start, stop = view.lines_span(node)
            description = f"the module's import of itself, `from {node.module} import …`, is removed"
            yield RepairCandidate("self-import", node.lineno, (TextEdit(start, stop, ""),), description)


def _is_self_import(node: ast.stmt, path: str) -> bool:
    return isinstance(node, ast.ImportFrom) and not node.level and node.module == module_name(path)


def _is_removable(view: ModuleView, node: ast.ImportFrom) -> bool:
    """Return whether the file defines all of the names, and at least one of them only after this line."""
    lines: list[int] = []
    for alias in node.names:
        definition_lines = [
            binding.line
            for binding in view.scope.bindings.get(alias.name, ())
            if binding.kind in ("def", "class", "assignment") and binding.line != node.lineno
        ]
        if alias.asname not in (None, alias.name) or not definition_lines:
            return False
        lines.append(min(definition_lines))
    return max(lines, default=0) > node.lineno


_SELF_IMPORT_MUST_CHANGE = (
    StartupCase(
        "import os\nfrom app.case import report\n\n\ndef report(): pass\n",
        "import os\n\n\ndef report(): pass\n",
    ),
)
_SELF_IMPORT_MUST_NOT_CHANGE = (
    # Defined above: the second copy finds it.
    StartupCase("def report(): pass\n\n\nfrom app.case import report\n"),
    # Another module.
    StartupCase("from other.case import report\n\n\ndef report(): pass\n"),
    # The name of a submodule.
    StartupCase("from app import case\n\nx = case\n", path="app/__init__.py", files={"app/case.py": ""}),
    # A script that needs its classes under the module's name.
    StartupCase(
        "def work(): pass\n\n\nif __name__ == '__main__':\n    from app.case import work\n    work()\n"
    ),
    # Nothing here defines the name.
    StartupCase("from app.case import report\n\nreport()\n"),
    # Used before the file defines it.
    StartupCase("from app.case import report\nreport()\n\n\ndef report(): pass\n"),
)

SELF_IMPORT = RepairRule(
    "self-import",
    propose_self_import,
    _may_self_import,
    _SELF_IMPORT_MUST_CHANGE,
    _SELF_IMPORT_MUST_NOT_CHANGE,
)


def _may_shadowed_package(view: ModuleView) -> bool:
    return "__main__" in view.text and next(_dotted_imports(view), None) is not None


def propose_shadowed_package(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    """Correct an import that a folder beside the script shadows: name it from the root of the tree.

    `from tools.client import call` in `service/agents/a.py`, where the tree has one module that ends so,
    `service/tools/client.py`, and also a folder `service/agents/tools` without a `client`. A script's own
    folder is searched first, so its `tools` is found, and the import fails. The import that other files use,
    `from service.tools.client import ...`, finds the only module that can be meant. If a change of the search
    path made the original import work somewhere, it would find the same file.
    """
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
            yield RepairCandidate("shadowed-package", node.lineno, (edit,), description)


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


def _build_edit(view: ModuleView, node: ast.ImportFrom, module: str, target: str) -> TextEdit | None:
    start = view.offset(node.lineno, node.col_offset)
    match = re.compile(r"from[ \t]+" + re.escape(module) + r"(?=[ \t])").match(view.text, start)
    return TextEdit(match.end() - len(module), match.end(), target) if match else None


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
_SHADOWED_PACKAGE_MUST_CHANGE = (
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


_SHADOWED_PACKAGE_MUST_NOT_CHANGE = (
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

SHADOWED_PACKAGE = RepairRule(
    "shadowed-package",
    propose_shadowed_package,
    _may_shadowed_package,
    _SHADOWED_PACKAGE_MUST_CHANGE,
    _SHADOWED_PACKAGE_MUST_NOT_CHANGE,
)
