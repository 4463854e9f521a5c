"""A word with letters too many or too few, or of the other case: `ororjson`, `aseAgent`, `VRAMAgent`.

Text rewrites leave such words where a pattern took part of one. It is mended when exactly one name that the
module binds is that word but for its first or last two letters, or for the case of a class's name: `channel`
and `Channel`, or `limit` and `LIMIT`, are names of two things.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.names.shown import OLD_BUILTINS, Shown
from argosy.refit.repair.names.view import View

NAME = "torn-word"
_SHORTEST = 5
_MOST = 2


def propose(view: View, shown: Shown) -> Iterator[Candidate]:
    for item in view.unresolved:
        if item.bound_line or len(item.name) < _SHORTEST or item.name in OLD_BUILTINS:
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
        return word[0].isupper() and name[0].isupper() and not name.isupper()
    long, short = (word, name) if len(word) > len(name) else (name, word)
    lost = long.removesuffix(short) if long.endswith(short) else long.removeprefix(short)
    return lost.isalpha() and len(lost) <= _MOST
