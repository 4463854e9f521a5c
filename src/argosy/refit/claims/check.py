"""Holds claims against a tree: one reading for all of them, then a verdict each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from argosy.refit.claims.answer import Answer
from argosy.refit.claims.ground import Ground
from argosy.refit.claims.kind import Ask
from argosy.refit.claims.kinds import all_kinds
from argosy.refit.claims.reading import Read, read_all
from argosy.refit.claims.spec import Claim, Query, Scope
from argosy.refit.claims.verdict import Verdict, judge

NO_FILES = "no file of the tree is meant by"


def check_claims(claims: Sequence[Claim], ground: Ground) -> tuple[Verdict, ...]:
    """Return a verdict for each claim, in their order.

    Raises InputError: what should tell the fleet cannot be read.
    """
    asked = {(claim.query, claim.scope): None for claim in claims if claim.query is not None}
    answers = ask_all(list(asked), ground)
    known = frozenset(ground.files)
    return tuple(
        judge(
            claim,
            None if claim.query is None else answers[claim.query, claim.scope][0],
            () if claim.query is None else answers[claim.query, claim.scope][1],
            known,
        )
        for claim in claims
    )


def ask_all(
    asked: Sequence[tuple[Query, Scope]], ground: Ground
) -> Mapping[tuple[Query, Scope], tuple[Answer, Sequence[str]]]:
    """Return the answer to each query in its scope, and the files of that scope.

    Raises InputError: what should tell the fleet cannot be read.
    """
    paths = {(query, scope): _paths(query, ground.select(scope)) for query, scope in asked}
    python = [path for path in ground.files if path.endswith(".py")]
    wanted: dict[Query, dict[str, None]] = {}
    for query, scope in asked:
        reading = all_kinds()[query.name].reading
        if reading is not None:
            wanted.setdefault(query, {}).update(
                dict.fromkeys(python if reading.is_whole else paths[query, scope])
            )
    read = read_all(ground, {query: tuple(those) for query, those in wanted.items()}, all_kinds)
    return {
        (query, scope): (_ask(query, scope, those, ground, read), those)
        for (query, scope), those in paths.items()
    }


def _paths(query: Query, paths: Sequence[str]) -> Sequence[str]:
    """Return the files of a scope that a query is about."""
    is_python = query.name.startswith("python.")
    return [path for path in paths if path.endswith(".py")] if is_python else paths


def _ask(query: Query, scope: Scope, paths: Sequence[str], ground: Ground, read: Read) -> Answer:
    kind = all_kinds()[query.name]
    if kind.scope and not paths:
        return Answer(trouble=f"{NO_FILES} {' '.join(f'`{word}`' for word in scope.words())}")
    unread = sorted(set(paths) & set(read.unread)) if kind.reading is not None else ()
    return kind.answer(Ask(ground, query.argument, paths, read.items.get(query, {}), tuple(unread)))
