"""Adds `logger = logging.getLogger(__name__)` above the first use of a logger that nothing binds.

Every use has to be a call of a logger method, so that nothing else can have been meant.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.name_resolution.module_view import ModuleView
from argosy.refit.repair.name_resolution.project_names import ProjectNames, attributes_read
from argosy.refit.repair.span_edit import SpanEdit, detect_newline

NAME = "missing-logger"
_LOGGER_METHODS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log", "warn"})
_LOGGER_NAMES = frozenset({"logger", "log", "LOGGER", "LOG"})


def propose(view: ModuleView, project_names: ProjectNames) -> Iterator[RepairCandidate]:
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
        yield RepairCandidate(NAME, item.line, (SpanEdit(offset, offset, inserted),), description)
