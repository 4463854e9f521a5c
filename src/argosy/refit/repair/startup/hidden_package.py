"""An import that a folder beside the script hides: the module is named from the root of the tree.

`from tools.client import call` in `service/agents/a.py`, where the tree has one module of that tail,
`service/tools/client.py`, and also a folder `service/agents/tools` without a `client`. A script's own folder
comes first in the search, so its `tools` is the one that is found, and the import fails. What others in the
tree write, `from service.tools.client import ...`, finds the only module that can be meant. Were the import
to work somewhere by a change of the search path, it would be of the same file.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator

from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit
from argosy.refit.repair.names.view import View
from argosy.refit.repair.startup.around import Around
from argosy.refit.repair.startup.rule import Case, Rule
from argosy.source.modules import is_standard

NAME = "hidden-package"


def may_apply(view: View) -> bool:
    return "__main__" in view.text and next(_dotted_imports(view), None) is not None


def propose(view: View, around: Around) -> Iterator[Candidate]:
    folder = posixpath.dirname(view.path)
    for node, module in _dotted_imports(view):
        top = module.partition(".")[0]
        if not folder or is_standard(top) or around.has_module(module):
            continue
        is_hidden = around.has_folder(f"{folder}/{top}") and not around.has_file(_file(folder, module))
        meant = around.only_module(module) if is_hidden else None
        if meant is None or not _has_names(around, meant, node) or not around.is_imported(meant):
            continue
        edit = _edit(view, node, module, meant)
        if edit is not None:
            said = f"`{module}` is hidden by `{folder}/{top}`; the only module it can be is `{meant}`"
            yield Candidate(NAME, node.lineno, (edit,), said)


def _dotted_imports(view: View) -> Iterator[tuple[ast.ImportFrom, str]]:
    """Yield the module's own imports of names from a module in a package; guarded ones are not among them."""
    for node in view.body:
        if isinstance(node, ast.ImportFrom) and not node.level and "." in (node.module or ""):
            yield node, node.module or ""


def _file(folder: str, module: str) -> str:
    return f"{folder}/{module.replace('.', '/')}"


def _has_names(around: Around, module: str, node: ast.ImportFrom) -> bool:
    return all(
        alias.name != "*" and around.classes.resolve(module, alias.name) is not None for alias in node.names
    )


def _edit(view: View, node: ast.ImportFrom, module: str, meant: str) -> Edit | None:
    start = view.offset(node.lineno, node.col_offset)
    written = re.compile(r"from[ \t]+" + re.escape(module) + r"(?=[ \t])").match(view.text, start)
    return Edit(written.end() - len(module), written.end(), meant) if written else None


_MAIN = "\n\nif __name__ == '__main__':\n    call()\n"
_HIDDEN = f"import sys\nfrom tools.client import call{_MAIN}"
_FILES = {
    "service/__init__.py": "",
    "service/tools/__init__.py": "",
    "service/tools/client.py": "def call(): pass\n",
    "service/agents/tools/other.py": "",
    "service/other.py": "from service.tools.client import call\n",
}
_AT = "service/agents/a.py"
MUST = (
    Case(_HIDDEN, _HIDDEN.replace("tools", "service.tools"), path=_AT, files=_FILES),
    Case(
        f"from tools.client import (\n    call as ask,\n)\n{_MAIN}",
        f"from service.tools.client import (\n    call as ask,\n)\n{_MAIN}",
        path=_AT,
        files=_FILES,
    ),
)


def _without(path: str, **more: str) -> dict[str, str]:
    return {**{name: text for name, text in _FILES.items() if name != path}, **more}


MUST_NOT = (
    # Nothing hides it: the search path may be changed somewhere.
    Case(_HIDDEN, path=_AT, files=_without("service/agents/tools/other.py")),
    # It is beside the script, or at the root.
    Case(_HIDDEN, path=_AT, files={**_FILES, "service/agents/tools/client.py": "def call(): pass\n"}),
    Case(_HIDDEN, path=_AT, files={**_FILES, "tools/client.py": "def call(): pass\n"}),
    # Two that it can be.
    Case(_HIDDEN, path=_AT, files={**_FILES, "other/tools/client.py": "def call(): pass\n"}),
    # It has no such name, or nobody else imports it so.
    Case(_HIDDEN, path=_AT, files={**_FILES, "service/tools/client.py": "def ask(): pass\n"}),
    Case(_HIDDEN, path=_AT, files=_without("service/other.py")),
    # Its failure is thought of.
    Case(
        f"try:\n    from tools.client import call\nexcept ImportError:\n    call = print\n{_MAIN}",
        path=_AT,
        files=_FILES,
    ),
    # No script: who imports it may come from another folder.
    Case("from tools.client import call\n\ncall()\n", path=_AT, files=_FILES),
    Case(
        f"from email.client import call{_MAIN}", path=_AT, files={**_FILES, "x/email/client.py": "call = 1\n"}
    ),
)

RULE = Rule(NAME, may_apply, propose, MUST, MUST_NOT)
