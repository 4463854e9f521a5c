"""Checks claims against a tree: reads its files once for all claims, then evaluates each claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from argosy.refit.claims.claim_spec import Claim, ClaimQuery, FileScope
from argosy.refit.claims.claim_verdict import ClaimVerdict, evaluate_claim
from argosy.refit.claims.codebase import Codebase
from argosy.refit.claims.query_kind import QueryContext
from argosy.refit.claims.query_registry import query_kinds
from argosy.refit.claims.query_result import QueryResult
from argosy.refit.claims.query_runner import QueryMatches, match_all_queries

NO_FILES = "no file of the tree matches"


def check_claims(claims: Sequence[Claim], codebase: Codebase) -> tuple[ClaimVerdict, ...]:
    """Return the verdict of each claim, in the order of `claims`.

    Raises InputError: the files of the fleet cannot be read.
    """
    queries = {(claim.query, claim.scope): None for claim in claims if claim.query is not None}
    results = run_all_queries(list(queries), codebase)
    known = frozenset(codebase.files)
    return tuple(
        evaluate_claim(
            claim,
            None if claim.query is None else results[claim.query, claim.scope][0],
            () if claim.query is None else results[claim.query, claim.scope][1],
            known,
        )
        for claim in claims
    )


def run_all_queries(
    queries: Sequence[tuple[ClaimQuery, FileScope]], codebase: Codebase
) -> Mapping[tuple[ClaimQuery, FileScope], tuple[QueryResult, Sequence[str]]]:
    """Return the result of each query in its scope, and the files of that scope.

    Raises InputError: the files of the fleet cannot be read.
    """
    paths = {(query, scope): _paths_for(query, codebase.select_files(scope)) for query, scope in queries}
    python_paths = [path for path in codebase.files if path.endswith(".py")]
    paths_by_query: dict[ClaimQuery, dict[str, None]] = {}
    for query, scope in queries:
        matcher = query_kinds()[query.name].matcher
        if matcher is not None:
            paths_by_query.setdefault(query, {}).update(
                dict.fromkeys(python_paths if matcher.needs_whole_tree else paths[query, scope])
            )
    matches = match_all_queries(
        codebase, {query: tuple(wanted) for query, wanted in paths_by_query.items()}, query_kinds
    )
    return {
        (query, scope): (_run_query(query, scope, selected, codebase, matches), selected)
        for (query, scope), selected in paths.items()
    }


def _paths_for(query: ClaimQuery, paths: Sequence[str]) -> Sequence[str]:
    """Return the files of a scope that a query reads."""
    is_python = query.name.startswith("python.")
    return [path for path in paths if path.endswith(".py")] if is_python else paths


def _run_query(
    query: ClaimQuery, scope: FileScope, paths: Sequence[str], codebase: Codebase, matches: QueryMatches
) -> QueryResult:
    kind = query_kinds()[query.name]
    if kind.scope and not paths:
        return QueryResult(error=f"{NO_FILES} {' '.join(f'`{glob}`' for glob in scope.as_arguments())}")
    unread = sorted(set(paths) & set(matches.unread)) if kind.matcher is not None else ()
    return kind.answer(
        QueryContext(codebase, query.argument, paths, matches.matches.get(query, {}), tuple(unread))
    )
