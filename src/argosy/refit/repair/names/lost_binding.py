"""`config = load_config()`: a name that is bound nowhere, beside an imported function that is never called.

The line that called it is gone. It comes back behind the import when other files of the tree make the name at
their top by calling this very function without arguments, and by nothing else as often.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit, newline_of
from argosy.refit.repair.names.shown import Shown
from argosy.refit.repair.names.view import View

NAME: Final = "lost-binding"
FEWEST: Final = 3


def propose(view: View, shown: Shown) -> Iterator[Candidate]:
    for item in view.unresolved:
        if item.bound_line:
            continue
        told = shown.made_by.get(item.name, {})
        made = max(told, key=lambda name: (len(told[name]), name), default="")
        others = [len(files) for name, files in told.items() if name != made]
        if not made or len(told[made]) < FEWEST or any(count >= len(told[made]) for count in others):
            continue
        at = _idle_import(view, made)
        if at is None or not view.stands_alone(at + 1):
            continue
        place = view.line_offset((view.body[at].end_lineno or item.line) + 1)
        text = f"{item.name} = {made}(){newline_of(view.text)}"
        said = f"`{item.name} = {made}()`: `{made}` is imported and not called; {len(told[made])} files do so"
        yield Candidate(NAME, item.line, (Edit(place, place, text),), said)


def _idle_import(view: View, name: str) -> int | None:
    """Return which statement of the module imports `name`, where nothing in the file uses it."""
    bindings = view.scope.bindings.get(name, ())
    if len(bindings) != 1 or bindings[0].how != "import" or name in view.uses_by_name:
        return None
    at = view.top_index(bindings[0].line)
    is_plain = at + 1 < len(view.body) and view.body[at].col_offset == 0
    return at if is_plain and type(view.body[at]).__name__ == "ImportFrom" else None
