"""Name rules that add a definition, or move it above its first use."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from argosy.refit.repair.module_view import ModuleView
from argosy.refit.repair.project_context import ProjectContext
from argosy.refit.repair.project_names import attributes_read
from argosy.refit.repair.repair_rule import RepairCandidate
from argosy.refit.transaction.text_edit import TextEdit
from argosy.refit.transaction.text_positions import detect_newline


def move_import_up(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    """Move an import that is below the first use of its name above it.

    Only a module-level statement whose names nothing else binds in between, and whose module is found from
    the root of the tree or comes with Python, so that changes of sys.path in between have no effect.
    """
    for item in view.unresolved:
        if not item.is_import:
            continue
        target, at = view.statement_index(item.line), view.statement_index(item.binding_line)
        if at >= len(view.body) or target >= at or not _is_movable(view, target, at, context):
            continue
        node = view.body[at]
        start, stop = view.lines_span(node)
        offset = view.line_offset(view.statement_first_line(target))
        import_text = view.text[start:stop]
        if not import_text.endswith(("\n", "\r")):
            continue
        edits = (TextEdit(offset, offset, import_text), TextEdit(start, stop, ""))
        description = f"the import of `{item.name}` moves from line {node.lineno} above its first use"
        yield RepairCandidate("move-import-up", item.line, edits, description)


def _is_movable(view: ModuleView, target: int, at: int, context: ProjectContext) -> bool:
    node = view.body[at]
    if not isinstance(node, ast.Import | ast.ImportFrom) or not (
        view.has_own_lines(at) and view.has_own_lines(target)
    ):
        return False
    modules = (
        [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
    )
    if getattr(node, "level", 0) or not all(context.names.module_exists(module) for module in modules):
        return False
    bound = {alias.asname or alias.name.split(".")[0] for alias in node.names}
    first, last = view.statement_first_line(target), node.lineno
    others = [
        binding
        for name in bound
        for binding in view.scope.bindings.get(name, ())
        if first <= binding.line < last and binding.kind != "import"
    ]
    return not others


_LOGGER_METHODS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log", "warn"})
_LOGGER_NAMES = frozenset({"logger", "log", "LOGGER", "LOG"})


def missing_logger(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    """Add `logger = logging.getLogger(__name__)` above the first use of a logger that nothing binds.

    Every use has to be a call of a logger method, so that nothing else can have been meant.
    """
    for item in view.unresolved:
        if item.binding_line or item.name not in _LOGGER_NAMES:
            continue
        attributes = attributes_read(view.parsed.tree, item.name)
        if not attributes or not attributes <= _LOGGER_METHODS:
            continue
        target = view.statement_index(item.line)
        if target >= len(view.body) or not view.has_own_lines(target):
            continue
        offset = view.line_offset(view.statement_first_line(target))
        newline = detect_newline(view.text)
        needed = "" if "logging" in view.scope.bindings else f"import logging{newline}{newline}"
        inserted = f"{needed}{item.name} = logging.getLogger(__name__){newline}{newline}"
        description = (
            f"`{item.name} = logging.getLogger(__name__)`: it is used as a logger, and nothing binds it"
        )
        yield RepairCandidate("missing-logger", item.line, (TextEdit(offset, offset, inserted),), description)


MIN_FILES: Final = 3


def missing_binding(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    """Restore `config = load_config()`: an unbound name beside an imported function without a call.

    The line with the call is missing. It is inserted after the import if other files of the tree bind the
    name at top level by calling this function without arguments, and by nothing else as often.
    """
    for item in view.unresolved:
        if item.binding_line:
            continue
        makers = context.names.makers.get(item.name, {})
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
        yield RepairCandidate("missing-binding", item.line, (TextEdit(offset, offset, text),), description)


def _unused_import_index(view: ModuleView, name: str) -> int | None:
    """Return the index of the statement that imports `name`, if nothing in the file uses it."""
    bindings = view.scope.bindings.get(name, ())
    if len(bindings) != 1 or bindings[0].kind != "import" or name in view.uses_by_name:
        return None
    at = view.statement_index(bindings[0].line)
    is_plain = at + 1 < len(view.body) and view.body[at].col_offset == 0
    return at if is_plain and type(view.body[at]).__name__ == "ImportFrom" else None


def add_import(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    """Import a name that nothing binds and that the rest of the tree imports from one place.

    The conditions are those of `ProjectNames.find_origin`: the module exists and binds the name, all files
    that import it take it from there (or all that use it in the same way), and no file beside this one binds
    it by a statement. If files differ, the module is chosen from which this file already imports other names,
    if it alone of those defines a function or class of that name.
    """
    for item in view.unresolved:
        if item.binding_line:
            continue
        origin = context.names.find_origin(item.name, view.path, attributes_read(view.parsed.tree, item.name))
        if origin is not None:
            other_files = (
                "another file imports"
                if origin.file_count == 1
                else f"{origin.file_count} other files import"
            )
            text, description = origin.import_statement, f"`{origin.import_statement}`, as {other_files} it"
        else:
            module = context.names.defining_module(item.name, _modules_imported_from(view))
            if module is None:
                continue
            text = f"from {module} import {item.name}"
            description = f"`{text}`: the only module that this file imports from and that defines it"
        offset = view.find_import_offset(item.line)
        edit = TextEdit(offset, offset, f"{text}{detect_newline(view.text)}")
        yield RepairCandidate("add-import", item.line, (edit,), description)


def _modules_imported_from(view: ModuleView) -> set[str]:
    """Return the modules from which a file imports names, at any level."""
    return {
        node.module
        for node in ast.walk(view.parsed.tree)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }
