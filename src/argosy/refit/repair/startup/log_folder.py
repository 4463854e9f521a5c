"""Creates the missing folder of a log file before the log is opened.

`logging.FileHandler("service/logs/a.log")` while the module loads raises an error if the tree has `service/`
but not `service/logs/`, since version control keeps no empty folders. `os.makedirs(…, exist_ok=True)` is
inserted above the statement, unless the module creates folders before it.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator

from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.name_resolution.module_view import ModuleView
from argosy.refit.repair.span_edit import SpanEdit, detect_newline
from argosy.refit.repair.startup.project_context import ProjectContext
from argosy.refit.repair.startup.startup_rule import StartupCase, StartupRule
from argosy.source.control_flow import dotted_name

NAME = "log-folder"


def may_apply(view: ModuleView) -> bool:
    return "FileHandler(" in view.text


def propose(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    if not view.is_module("os") and "os" in view.scope.bindings:
        return
    for node, scope in view.index.of_type(ast.Call):
        folder = _log_folder(node)
        index = view.statement_index(node.lineno)
        if not folder or _has_folder_creation(view, node.lineno):
            continue
        if scope is not view.scope or index >= len(view.body) or not view.has_own_lines(index):
            continue
        if context.has_folder(os.path.dirname(folder)) and not context.has_folder(folder):
            offset = view.line_offset(view.statement_first_line(index))
            newline = detect_newline(view.text)
            bound = [item.line for item in view.scope.bindings.get("os", ())]
            import_text = (
                "" if bound and min(bound) < view.statement_first_line(index) else f"import os{newline}"
            )
            inserted = f'{import_text}os.makedirs("{folder}", exist_ok=True){newline}'
            description = f"the folder `{folder}`, which is not in the tree, is created before its log"
            yield RepairCandidate(NAME, node.lineno, (SpanEdit(offset, offset, inserted),), description)


def _has_folder_creation(view: ModuleView, line: int) -> bool:
    """Return whether a folder is created above a line, outside functions that may be called later."""
    functions = ("mkdir", "makedirs")
    return any(
        scope is view.scope and node.lineno < line and dotted_name(node.func).split(".")[-1] in functions
        for node, scope in view.index.of_type(ast.Call)
        if isinstance(node, ast.Call)
    )


def _log_folder(node: ast.Call) -> str:
    """Return the folder of a log file with a literal, relative path; empty for any other call."""
    if dotted_name(node.func).split(".")[-1] not in ("FileHandler", "RotatingFileHandler") or not node.args:
        return ""
    first = node.args[0]
    path = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""
    is_plain = path.isprintable() and not {'"', "\\"} & set(path) and not path.startswith(("/", "."))
    return os.path.dirname(path) if is_plain else ""


_TEXT = "import logging\nlog = logging.FileHandler('service/logs/a.log')\n"
MUST_CHANGE = (
    StartupCase(
        _TEXT,
        'import logging\nimport os\nos.makedirs("service/logs", exist_ok=True)\n'
        "log = logging.FileHandler('service/logs/a.log')\n",
        files={"service/a.py": ""},
    ),
)
MUST_NOT_CHANGE = (
    # It exists already, or is outside the tree.
    StartupCase(_TEXT, files={"service/logs/keep": ""}),
    StartupCase(_TEXT),
    # The file creates it.
    StartupCase(
        "import os\nos.makedirs('service/logs', exist_ok=True)\n" + _TEXT, files={"service/a.py": ""}
    ),
    # Not while the module loads.
    StartupCase(
        "import logging\ndef f():\n    logging.FileHandler('service/logs/a.log')\n",
        files={"service/a.py": ""},
    ),
    StartupCase("import logging\nlog = logging.FileHandler('a.log')\n"),
)

RULE = StartupRule(NAME, may_apply, propose, MUST_CHANGE, MUST_NOT_CHANGE)
