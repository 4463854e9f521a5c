"""Restores `config = load_config()`: an unbound name beside an imported function without a call.

The line with the call is missing. It is inserted after the import if other files of the tree bind the name at
top level by calling this function without arguments, and by nothing else as often.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.name_resolution.module_view import ModuleView
from argosy.refit.repair.name_resolution.project_names import ProjectNames
from argosy.refit.repair.span_edit import SpanEdit, detect_newline

NAME: Final = "missing-binding"
MIN_FILES: Final = 3


def propose(view: ModuleView, project_names: ProjectNames) -> Iterator[RepairCandidate]:
    for item in view.unresolved:
        if item.binding_line:
            continue
        makers = project_names.makers.get(item.name, {})
        maker = max(makers, key=lambda name: (len(makers[name]), name), default="")
        others = [len(files) for name, files in makers.items() if name != maker]
        if (
            not maker
            or len(makers[maker]) < MIN_FILES
            or any(count >= len(makers[maker]) for count in others)
        ):
            continue
        at = _unused_import_index(view, maker)
        if at is None or not view.has_own_lines(at + 1):
            continue
        offset = view.line_offset((view.body[at].end_lineno or item.line) + 1)
        text = f"{item.name} = {maker}(){detect_newline(view.text)}"
        description = (
            f"`{item.name} = {maker}()`: `{maker}` is imported and not called; "
            f"{len(makers[maker])} files do so"
        )
        yield RepairCandidate(NAME, item.line, (SpanEdit(offset, offset, text),), description)


def _unused_import_index(view: ModuleView, name: str) -> int | None:
    """Return the index of the statement that imports `name`, if nothing in the file uses it."""
    bindings = view.scope.bindings.get(name, ())
    if len(bindings) != 1 or bindings[0].kind != "import" or name in view.uses_by_name:
        return None
    at = view.statement_index(bindings[0].line)
    is_plain = at + 1 < len(view.body) and view.body[at].col_offset == 0
    return at if is_plain and type(view.body[at]).__name__ == "ImportFrom" else None
