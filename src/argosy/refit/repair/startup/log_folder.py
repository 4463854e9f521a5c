"""A log file in a folder of the tree that is not there: the folder is made first.

`logging.FileHandler("service/logs/a.log")` while the module loads ends it where `service/` is in the tree
and `service/logs/` is not, as version control keeps no empty folders. `os.makedirs(…, exist_ok=True)` comes
above the statement, unless the module makes folders itself before it.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator

from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit, newline_of
from argosy.refit.repair.names.view import View
from argosy.refit.repair.startup.around import Around
from argosy.refit.repair.startup.rule import Case, Rule
from argosy.source.flow import dotted

NAME = "log-folder"


def may_apply(view: View) -> bool:
    return "FileHandler(" in view.text


def propose(view: View, around: Around) -> Iterator[Candidate]:
    if not view.is_module("os") and "os" in view.scope.bindings:
        return
    for node, scope in view.index.of(ast.Call):
        folder = _folder(node)
        index = view.top_index(node.lineno)
        if not folder or _makes_folders(view, node.lineno):
            continue
        if scope is not view.scope or index >= len(view.body) or not view.stands_alone(index):
            continue
        if around.has_folder(os.path.dirname(folder)) and not around.has_folder(folder):
            place = view.line_offset(view.first_line(index))
            newline = newline_of(view.text)
            bound = [item.line for item in view.scope.bindings.get("os", ())]
            needed = "" if bound and min(bound) < view.first_line(index) else f"import os{newline}"
            made = f'{needed}os.makedirs("{folder}", exist_ok=True){newline}'
            said = f"the folder `{folder}`, which the tree lacks, is made before its log"
            yield Candidate(NAME, node.lineno, (Edit(place, place, made),), said)


def _makes_folders(view: View, line: int) -> bool:
    """Return whether a folder is made above a line, outside functions that may be called later."""
    makers = ("mkdir", "makedirs")
    return any(
        scope is view.scope and node.lineno < line and dotted(node.func).split(".")[-1] in makers
        for node, scope in view.index.of(ast.Call)
        if isinstance(node, ast.Call)
    )


def _folder(node: ast.Call) -> str:
    """Return the folder of a log file that is told in full and relative; empty for any other call."""
    if dotted(node.func).split(".")[-1] not in ("FileHandler", "RotatingFileHandler") or not node.args:
        return ""
    first = node.args[0]
    path = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""
    is_plain = path.isprintable() and not {'"', "\\"} & set(path) and not path.startswith(("/", "."))
    return os.path.dirname(path) if is_plain else ""


_TEXT = "import logging\nlog = logging.FileHandler('service/logs/a.log')\n"
MUST = (
    Case(
        _TEXT,
        'import logging\nimport os\nos.makedirs("service/logs", exist_ok=True)\n'
        "log = logging.FileHandler('service/logs/a.log')\n",
        files={"service/a.py": ""},
    ),
)
MUST_NOT = (
    # There already, or nothing of the tree's.
    Case(_TEXT, files={"service/logs/keep": ""}),
    Case(_TEXT),
    # The file makes it.
    Case("import os\nos.makedirs('service/logs', exist_ok=True)\n" + _TEXT, files={"service/a.py": ""}),
    # Not while the module loads.
    Case(
        "import logging\ndef f():\n    logging.FileHandler('service/logs/a.log')\n",
        files={"service/a.py": ""},
    ),
    Case("import logging\nlog = logging.FileHandler('a.log')\n"),
)

RULE = Rule(NAME, may_apply, propose, MUST, MUST_NOT)
