"""Imports a name that nothing binds and that the rest of the tree imports from one place.

The conditions are those of `ProjectNames.find_origin`: the module exists and binds the name, all files that
import it take it from there (or all that use it in the same way), and no file beside this one binds it by a
statement. If files differ, the module is chosen from which this file already imports other names, if it alone
of those defines a function or class of that name.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.name_resolution.module_view import ModuleView
from argosy.refit.repair.name_resolution.project_names import ProjectNames, attributes_read
from argosy.refit.repair.span_edit import SpanEdit, detect_newline

NAME = "add-import"


def propose(view: ModuleView, project_names: ProjectNames) -> Iterator[RepairCandidate]:
    for item in view.unresolved:
        if item.binding_line:
            continue
        origin = project_names.find_origin(item.name, view.path, attributes_read(view.parsed.tree, item.name))
        if origin is not None:
            other_files = (
                "another file imports"
                if origin.file_count == 1
                else f"{origin.file_count} other files import"
            )
            text, description = origin.import_statement, f"`{origin.import_statement}`, as {other_files} it"
        else:
            module = project_names.defining_module(item.name, _modules_imported_from(view))
            if module is None:
                continue
            text = f"from {module} import {item.name}"
            description = f"`{text}`: the only module that this file imports from and that defines it"
        offset = view.find_import_offset(item.line)
        edit = SpanEdit(offset, offset, f"{text}{detect_newline(view.text)}")
        yield RepairCandidate(NAME, item.line, (edit,), description)


def _modules_imported_from(view: ModuleView) -> set[str]:
    """Return the modules from which a file imports names, at any level."""
    return {
        node.module
        for node in ast.walk(view.parsed.tree)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }
