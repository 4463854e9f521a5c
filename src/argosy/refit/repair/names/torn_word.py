"""A word with letters too many or too few, or of the other case: `ororjson`, `aseAgent`, `VRAMAgent`.

Text rewrites leave such words where a pattern took part of one. It is mended when exactly one name that the
module binds, or that every file of the tree imports from the same place, is that word but for its
first or last two letters, or for its case.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.names.shown import Shown
from argosy.refit.repair.names.view import View

NAME = "torn-word"
_SHORTEST = 5
_MOST = 2


def propose(view: View, shown: Shown) -> Iterator[Candidate]:
    for item in view.unresolved:
        if item.bound_line or len(item.name) < _SHORTEST:
            continue
        whole = [name for name in view.scope.bindings if _is_torn(item.name, name)]
        if len(whole) != 1:
            continue
        edits = view.renamed(item.name, whole[0])
        if edits is not None:
            said = f"the torn word `{item.name}` is `{whole[0]}`, which the file binds"
            yield Candidate(NAME, item.line, edits, said)


def _is_torn(word: str, name: str) -> bool:
    if word == name or len(name) < _SHORTEST:
        return False
    if word.lower() == name.lower():
        return True
    long, short = (word, name) if len(word) > len(name) else (name, word)
    is_cut = 0 < len(long) - len(short) <= _MOST
    return is_cut and (long.endswith(short) or long.startswith(short))
