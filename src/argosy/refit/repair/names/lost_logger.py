"""A logger that is used and bound nowhere: `logger = logging.getLogger(__name__)` above its first user.

Every use has to be a call of a logger's methods, so that nothing else can have been meant.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit, newline_of
from argosy.refit.repair.names.shown import Shown, attributes_of
from argosy.refit.repair.names.view import View

NAME = "lost-logger"
_METHODS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log", "warn"})
_NAMES = frozenset({"logger", "log", "LOGGER", "LOG"})


def propose(view: View, shown: Shown) -> Iterator[Candidate]:
    for item in view.unresolved:
        if item.bound_line or item.name not in _NAMES:
            continue
        used = attributes_of(view.parsed.tree, item.name)
        if not used or not used <= _METHODS:
            continue
        target = view.top_index(item.line)
        if target >= len(view.body) or not view.stands_alone(target):
            continue
        place = view.line_offset(view.first_line(target))
        newline = newline_of(view.text)
        needed = "" if "logging" in view.scope.bindings else f"import logging{newline}{newline}"
        made = f"{needed}{item.name} = logging.getLogger(__name__){newline}{newline}"
        said = f"`{item.name} = logging.getLogger(__name__)`: it is used as a logger and bound nowhere"
        yield Candidate(NAME, item.line, (Edit(place, place, made),), said)
