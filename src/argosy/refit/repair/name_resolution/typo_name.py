"""Corrects a name that lost or gained letters, or changed case: `ororjson`, `aseAgent`, `VRAMAgent`.

Text rewrites leave such names where a pattern matched part of one. It is corrected if exactly one name that
the module binds differs only in its first or last two letters, or in the case of a class's name: `channel`
and `Channel`, or `limit` and `LIMIT`, are two different names.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.name_resolution.module_view import ModuleView
from argosy.refit.repair.name_resolution.project_names import PYTHON2_BUILTINS, ProjectNames

NAME = "typo-name"
_MIN_LENGTH = 5
_MAX_DIFFERENCE = 2


def propose(view: ModuleView, project_names: ProjectNames) -> Iterator[RepairCandidate]:
    for item in view.unresolved:
        if item.binding_line or len(item.name) < _MIN_LENGTH or item.name in PYTHON2_BUILTINS:
            continue
        matches = [name for name in view.scope.bindings if _is_typo(item.name, name)]
        if len(matches) != 1:
            continue
        edits = view.rename_edits(item.name, matches[0])
        if edits is not None:
            description = f"the damaged name `{item.name}` becomes `{matches[0]}`, which the file binds"
            yield RepairCandidate(NAME, item.line, edits, description)


def _is_typo(typo: str, name: str) -> bool:
    if typo == name or len(name) < _MIN_LENGTH:
        return False
    if typo.lower() == name.lower():
        return typo[0].isupper() and name[0].isupper() and not name.isupper()
    long, short = (typo, name) if len(typo) > len(name) else (name, typo)
    difference = long.removesuffix(short) if long.endswith(short) else long.removeprefix(short)
    return difference.isalpha() and len(difference) <= _MAX_DIFFERENCE
