"""Check what people say about the code, claim by claim: confirmed, refuted, or not to be told from files.

  check FILE [PATH]    each claim of a YAML file against the tree at PATH
  count QUERY [PATH]   one query, as claims have it and verdicts print it
  queries              the queries that there are

PATH is a folder (default: this one); nothing of it is imported or run. `argosy schema claims` prints the
schema of FILE. Exit code 0: every claim holds; 1: one does not, or cannot be told; 2: FILE, or a query,
is wrong.

example: argosy claims check claims.yaml src
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

from argosy.cli.arguments import add_json
from argosy.cli.report import print_json
from argosy.fault import Fault, InputError
from argosy.fleet.spelling import suggestion

if TYPE_CHECKING:
    from argosy.refit.claims.ground import Ground
    from argosy.refit.claims.spec import Query, Scope

ACTIONS = ("check", "count", "queries")
_SAMPLES = {"FILE": "claims.yaml", "QUERY": "'python.calls zmq.Context'"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy claims`."""
    parser.add_argument("action", choices=ACTIONS, metavar="|".join(ACTIONS), help="what to do")
    parser.add_argument(
        "words",
        nargs="*",
        default=[],
        metavar="FILE|QUERY [PATH]",
        help="the claims to check, or the query to count\nthe tree (default: this folder)",
    )
    parser.add_argument("--tree", metavar="PATH", help="the tree, in place of the positional PATH")
    parser.add_argument(
        "--fleet",
        metavar="FILE",
        action="append",
        default=[],
        help="what tells the fleet, by path in the tree; repeatable; with check in place of the file's own",
    )
    parser.add_argument(
        "--in",
        dest="scope",
        metavar="SCOPE",
        action="append",
        default=[],
        help="with count: where; a glob, or the name of a scope; repeatable",
    )
    parser.add_argument(
        "--unit",
        choices=("place", "file", "file-without"),
        default="place",
        help="with count: what is counted (default: place)",
    )
    parser.add_argument("--only", metavar="ID", action="append", default=[], help="with check: this claim")
    parser.add_argument("--no-cache", action="store_true", help="read everything anew, remember nothing")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Do it, and return the exit code.

    Raises InputError: the file of claims, the query, the fleet or an option is wrong.
    """
    if args.action == "queries":
        return _queries(args)
    if not args.words or len(args.words) > 2:
        wanted = "FILE" if args.action == "check" else "QUERY"
        message = f"`{args.action}` takes {wanted} and perhaps PATH, and has {len(args.words)} words"
        hint = f"such as `argosy claims {args.action} {_SAMPLES[wanted]} src`"
        raise InputError(Fault("", "usage", message, hint))
    return _check(args) if args.action == "check" else _count(args)


def _tree(args: argparse.Namespace) -> str:
    named = [*args.words[1:], *([args.tree] if args.tree is not None else [])]
    if len(named) > 1:
        raise InputError(Fault("--tree", "usage", f"the tree is named twice: `{named[0]}` and `{named[1]}`"))
    path: str = named[0] if named else "."
    if not os.path.isdir(path):
        raise InputError(Fault(path, "no-path", f"there is no folder `{path}`"))
    return path


def _ground(args: argparse.Namespace, tree: str, fleet: tuple[str, ...]) -> Ground:
    from argosy.refit.cache import default_folder  # noqa: PLC0415
    from argosy.refit.claims.ground import Ground  # noqa: PLC0415

    return Ground(tree, tuple(args.fleet) or fleet, None if args.no_cache else default_folder())


def _check(args: argparse.Namespace) -> int:
    from argosy.cli.claims_view import as_object, render_text  # noqa: PLC0415
    from argosy.refit.claims.check import check_claims  # noqa: PLC0415
    from argosy.refit.claims.load import load_claims  # noqa: PLC0415

    started = time.perf_counter()
    tree = _tree(args)
    loaded = load_claims(args.words[0])
    known = {claim.id: claim for claim in loaded.claims}
    for name in args.only:
        if name not in known:
            hint = suggestion(name, known, "claims")
            raise InputError(Fault("--only", "unknown-claim", f"there is no claim `{name}`", hint))
    ground = _ground(args, tree, loaded.fleet)
    chosen = [claim for claim in loaded.claims if not args.only or claim.id in args.only]
    verdicts = check_claims(chosen, ground)
    if args.as_json:
        print_json(as_object(args.words[0], tree, ground, verdicts, time.perf_counter() - started))
    else:
        sys.stdout.write(render_text(tree, ground, verdicts))
    return 0 if all(verdict.word == "confirmed" for verdict in verdicts) else 1


def _count(args: argparse.Namespace) -> int:
    from argosy.cli.claims_view import counted_object, counted_text  # noqa: PLC0415
    from argosy.refit.claims.check import ask_all  # noqa: PLC0415
    from argosy.refit.claims.kinds import QueryError, check_unit, parse_query  # noqa: PLC0415

    tree = _tree(args)
    try:
        query = parse_query(args.words[0])
        check_unit(query, args.unit)
    except QueryError as error:
        hint = suggestion(error.word, error.known, "queries") if error.known else ""
        raise InputError(
            Fault("QUERY", "query", str(error), hint or "`argosy claims queries` lists them")
        ) from error
    scope = _scope(args, query)
    ground = _ground(args, tree, ())
    answer, paths = ask_all([(query, scope)], ground)[query, scope]
    if answer.trouble:
        raise InputError(Fault("QUERY", "no-answer", f"`{query}` has no answer here: {answer.trouble}"))
    if args.as_json:
        print_json(counted_object(query, answer, args.unit, paths))
    else:
        sys.stdout.write(counted_text(answer, args.unit, paths))
    return 0


def _scope(args: argparse.Namespace, query: Query) -> Scope:
    from argosy.refit.claims.kinds import all_kinds  # noqa: PLC0415
    from argosy.refit.claims.scopes import UnknownScopeError, make_scope  # noqa: PLC0415

    try:
        scope = make_scope(args.scope or all_kinds()[query.name].scope, {})
    except UnknownScopeError as error:
        message = f"there is no scope `{error.word}`, and it is no glob"
        hint = suggestion(error.word, error.known, "scopes")
        raise InputError(Fault("--in", "scope", message, hint)) from error
    if scope.fleet and not args.fleet:
        raise InputError(Fault("--in", "no-fleet", "nothing tells the fleet", "add `--fleet FILE`"))
    return scope


def _queries(args: argparse.Namespace) -> int:
    from argosy.refit.claims.kinds import all_kinds  # noqa: PLC0415

    kinds = all_kinds().values()
    if args.as_json:
        listed = [
            {"name": kind.name, "argument": kind.argument, "counts": kind.counts, "in": list(kind.scope)}
            for kind in kinds
        ]
        print_json({"argosy": "claims-queries/1", "queries": listed})
        return 0
    shown = [(f"{kind.name} {kind.argument}".rstrip(), kind.counts) for kind in kinds]
    width = max(len(name) for name, _ in shown)
    sys.stdout.write("".join(f"{name:<{width}}  {counts}\n" for name, counts in shown))
    return 0
