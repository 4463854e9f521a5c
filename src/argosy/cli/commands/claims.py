"""Check claims about the code; each is confirmed, refuted, or uncheckable from files.

  check FILE [PATH]    check each claim of a YAML file against the tree at PATH
  count QUERY [PATH]   run one query, in the form that claims and verdicts have
  queries              list the queries

PATH is a folder (default: this one); none of its code is imported or run. `argosy schema claims` prints
the schema of FILE. Exit code 0: every claim is confirmed; 1: one is not; 2: FILE or a query is invalid.

example: argosy claims check claims.yaml src

"""

from __future__ import annotations

import argparse
import os
import time
from typing import TYPE_CHECKING

from argosy.cli.arguments import add_json, add_options
from argosy.cli.console import align_columns, print_result
from argosy.fault import Fault, InputError
from argosy.fleet.suggestions import suggest, unknown_name

if TYPE_CHECKING:
    from argosy.refit.claims.claim_spec import ClaimQuery, FileScope
    from argosy.refit.claims.codebase import Codebase

ACTIONS = ("check", "count", "queries")
_EXAMPLES = {"FILE": "claims.yaml", "QUERY": "'python.calls zmq.Context'"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy claims`."""
    parser.add_argument("action", choices=ACTIONS, metavar="|".join(ACTIONS), help="what to do")
    parser.add_argument(
        "positionals",
        nargs="*",
        default=[],
        metavar="FILE|QUERY [PATH]",
        help="the claims to check, or the query to count\nthe tree (default: this folder)",
    )
    options = {
        "--tree PATH": "the tree, in place of the positional PATH",
        "--fleet FILE...": "a fleet file or its source, by path in the tree; repeatable; "
        "with check instead of FILE's own",
    }
    add_options(parser, options)
    parser.add_argument(
        "--in",
        dest="scope",
        metavar="SCOPE",
        action="append",
        default=[],
        help="with count: a glob or the name of a scope; repeatable",
    )
    parser.add_argument(
        "--unit",
        choices=("place", "file", "file-without"),
        default="place",
        help="with count: what is counted (default: place)",
    )
    options = {
        "--only ID...": "with check: only this claim; repeatable",
        "--no-cache": "neither read nor write the cache",
    }
    add_options(parser, options)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Run the action, and return the exit code.

    Raises InputError: the file of claims, the query, the fleet or an option is invalid.
    """
    if args.action == "queries":
        return _list_queries(args)
    if not args.positionals or len(args.positionals) > 2:
        expected = "FILE" if args.action == "check" else "QUERY"
        found = f"found {len(args.positionals)} arguments"
        message = f"`{args.action}` takes {expected} and optionally PATH, {found}"
        hint = f"such as `argosy claims {args.action} {_EXAMPLES[expected]} src`"
        raise InputError(Fault("", "usage", message, hint))
    return _check_claims(args) if args.action == "check" else _count_query(args)


def _tree(args: argparse.Namespace) -> str:
    named = [*args.positionals[1:], *([args.tree] if args.tree is not None else [])]
    if len(named) > 1:
        raise InputError(Fault("--tree", "usage", f"the tree is given twice: `{named[0]}` and `{named[1]}`"))
    path: str = named[0] if named else "."
    if not os.path.isdir(path):
        raise InputError(Fault(path, "no-path", f"there is no folder `{path}`"))
    return path


def _target(args: argparse.Namespace, tree: str, fleet: tuple[str, ...]) -> Codebase:
    from argosy.refit.claims.codebase import Codebase  # noqa: PLC0415
    from argosy.refit.core.audit_cache import default_cache_dir  # noqa: PLC0415

    return Codebase(tree, tuple(args.fleet) or fleet, None if args.no_cache else default_cache_dir())


def _check_claims(args: argparse.Namespace) -> int:
    from argosy.cli.render.claims_view import claims_json, render_claims_text  # noqa: PLC0415
    from argosy.refit.claims.claim_check import check_claims  # noqa: PLC0415
    from argosy.refit.claims.claims_file import load_claims  # noqa: PLC0415

    started = time.perf_counter()
    tree = _tree(args)
    loaded = load_claims(args.positionals[0])
    known = {claim.id: claim for claim in loaded.claims}
    for name in args.only:
        if name not in known:
            raise InputError(unknown_name("--only", "claim", name, known))
    target = _target(args, tree, loaded.fleet)
    chosen = [claim for claim in loaded.claims if not args.only or claim.id in args.only]
    verdicts = check_claims(chosen, target)
    print_result(
        lambda: claims_json(args.positionals[0], tree, target, verdicts, time.perf_counter() - started),
        lambda: render_claims_text(tree, target, verdicts),
        as_json=args.as_json,
    )
    return 0 if all(verdict.status == "confirmed" for verdict in verdicts) else 1


def _count_query(args: argparse.Namespace) -> int:
    from argosy.cli.render.claims_view import count_json, count_text  # noqa: PLC0415
    from argosy.refit.claims.claim_check import run_all_queries  # noqa: PLC0415
    from argosy.refit.claims.query_registry import QueryError, check_unit, parse_query  # noqa: PLC0415

    tree = _tree(args)
    try:
        query = parse_query(args.positionals[0])
        check_unit(query, args.unit)
    except QueryError as error:
        hint = suggest(error.unknown, error.known, "queries") if error.known else ""
        hint = hint or "`argosy claims queries` lists them"
        raise InputError(Fault("QUERY", "query", str(error), hint)) from error
    scope = _scope(args, query)
    target = _target(args, tree, ())
    answer, paths = run_all_queries([(query, scope)], target)[query, scope]
    if answer.error:
        raise InputError(Fault("QUERY", "no-answer", f"`{query}` has no answer here: {answer.error}"))
    print_result(
        lambda: count_json(query, answer, args.unit, paths),
        lambda: count_text(answer, args.unit, paths),
        as_json=args.as_json,
    )
    return 0


def _scope(args: argparse.Namespace, query: ClaimQuery) -> FileScope:
    from argosy.refit.claims.file_scopes import UnknownScopeError, make_scope  # noqa: PLC0415
    from argosy.refit.claims.query_registry import query_kinds  # noqa: PLC0415

    try:
        scope = make_scope(args.scope or query_kinds()[query.name].scope, {})
    except UnknownScopeError as error:
        message = f"there is no scope `{error.name}`, and it is not a glob"
        hint = suggest(error.name, error.known, "scopes")
        raise InputError(Fault("--in", "scope", message, hint)) from error
    if scope.includes_fleet and not args.fleet:
        raise InputError(Fault("--in", "no-fleet", "this scope needs a fleet", "add `--fleet FILE`"))
    return scope


def _list_queries(args: argparse.Namespace) -> int:
    from argosy.refit.claims.query_registry import query_kinds  # noqa: PLC0415

    kinds = query_kinds().values()
    listed = [
        {"name": kind.name, "argument": kind.argument, "counts": kind.description, "in": list(kind.scope)}
        for kind in kinds
    ]
    shown = [(f"{kind.name} {kind.argument}".rstrip(), kind.description) for kind in kinds]
    print_result(
        lambda: {"argosy": "claims-queries/1", "queries": listed},
        lambda: "\n".join(align_columns(shown)),
        as_json=args.as_json,
    )
    return 0
