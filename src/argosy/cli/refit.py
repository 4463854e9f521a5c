"""Change what is proven to stay the same: own contexts, literal addresses, health loops, short requests.

Without `--apply` the changes are shown as a diff. Every file that is changed has passed every gate;
everything else is told with its reason. Only `*.py` are changed. Exit code 1: a gate stopped a file,
or a file could not be written or put back.

example: argosy refit src --select Z301 --apply --verify "pytest -q"
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import msgspec

from argosy.cli.arguments import FLEET_FILE, add_json
from argosy.cli.refit_text import print_refit
from argosy.cli.report import paint, print_json
from argosy.fault import Fault, InputError, RefusedError
from argosy.fleet import Fleet, read_fleet
from argosy.refit.rewrite import plan, repository
from argosy.refit.rewrite.exchange import Kept
from argosy.refit.rewrite.refit import Account, apply_refit, plan_refit
from argosy.refit.rewrite.requirement import Requirement, find_requirement
from argosy.refit.rewrite.run import locked, undo


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy refit`."""
    parser.add_argument("path", nargs="?", default=".", metavar="PATH", help="a folder (default: this one)")
    parser.add_argument(
        "--fleet", metavar="F", help=f"where addresses come from (default: PATH/{FLEET_FILE}, if it is there)"
    )
    parser.add_argument(
        "--select", metavar="CODES", help="only these, such as `Z301,A`: a letter is a family"
    )
    parser.add_argument("--exclude", metavar="GLOB", action="append", default=[], help="leave out")
    parser.add_argument(
        "--apply", action="store_true", help="write the changes, as one run that can be undone"
    )
    parser.add_argument(
        "--undo", nargs="?", const="", metavar="RUN", help="put a run's files back (default: the newest)"
    )
    parser.add_argument(
        "--verify", metavar="CMD", help="the project's own check; files that it fails with stay as they are"
    )
    parser.add_argument("--dirty", action="store_true", help="write also files that git has no copy of")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Plan, write or undo a refit, print the account, and return the exit code."""
    root = Path(args.path)
    if not root.is_dir():
        raise InputError(Fault(str(root), "no-folder", f"there is no folder `{root}`"))
    whole = os.path.realpath(root)
    if args.undo is not None:
        return _undo(whole, args)
    if args.verify and not args.apply:
        raise InputError(Fault("--verify", "usage", "it judges what is written, so it goes with `--apply`"))
    rewrites = plan.chosen(_codes(args.select))
    if not rewrites:
        known = ", ".join(plan.codes())
        raise InputError(
            Fault("--select", "unknown-code", f"no rewrite answers `{args.select}`", f"there are {known}")
        )
    progress = None if args.as_json or not sys.stderr.isatty() else _progress
    account = plan_refit(
        whole, rewrites, fleet=_fleet(root, args.fleet), exclude=args.exclude, progress=progress
    )
    if progress:
        sys.stderr.write("\r\033[K")
    if args.apply:
        if account.after and not args.dirty and (unsaved := repository.unsaved(whole, account.after)):
            hint = "commit or stash them, `--exclude` what git ignores; `--dirty` writes all the same"
            raise RefusedError(Fault(str(root), "dirty", repository.describe(unsaved), hint))
        account = apply_refit(account, args.verify)
    requirement = _requirement(account)
    if args.as_json:
        print_json(_as_object(account, requirement))
    else:
        print_refit(account, requirement, is_applied=args.apply)
    return 1 if any(failed for name, (_, failed) in account.gates.items() if name != "input") else 0


def _codes(select: str | None) -> list[str]:
    return [code.strip().upper() for code in (select or "").split(",") if code.strip()]


def _fleet(root: Path, chosen: str | None) -> Fleet | None:
    path = Path(chosen) if chosen else root / FLEET_FILE
    if chosen is None and not path.is_file():
        return None
    fleet, faults = read_fleet(path / FLEET_FILE if path.is_dir() else path)
    if fleet is None:
        raise InputError(*faults)
    return fleet


def _progress(done: int, all_: int) -> None:
    sys.stderr.write(f"\rrefit: {done} of {all_} files")
    sys.stderr.flush()


def _requirement(account: Account) -> Requirement | None:
    if not account.after:
        return None
    folders = {"" if "/" not in path else path.rpartition("/")[0] for path in account.after}
    above = {folder.split("/", 1)[0] for folder in folders}
    return find_requirement(account.root, {"", *folders, *above})


def _undo(root: str, args: argparse.Namespace) -> int:
    with locked(root):
        done, kept = undo(root, args.undo or None)
    stuck = {item.path for item in kept}
    restored = [entry.path for entry in done.files if entry.path not in stuck]
    if args.as_json:
        print_json(
            {
                "argosy": "refit/1",
                "run": done.run,
                "restored": restored,
                "kept": msgspec.to_builtins(kept),
            }
        )
    else:
        _print_kept(kept)
        sys.stdout.write(f"{done.run}: {len(restored)} of {len(done.files)} files are as they were\n")
    return 1 if kept else 0


def _print_kept(kept: list[Kept]) -> None:
    for item in kept:
        sys.stderr.write(f"{paint('error:', 'red', sys.stderr)} {item.path}: {item.reason}\n")


def _as_object(account: Account, requirement: Requirement | None) -> dict[str, object]:
    return {
        "argosy": "refit/1",
        "run": account.run,
        "changed": list(account.after),
        "sites": account.sites(),
        "migrated": [msgspec.to_builtins(site) for site in account.migrated],
        "refused": [msgspec.to_builtins(item) for item in account.refused],
        "leftovers": [msgspec.to_builtins(item) for item in account.leftovers],
        "gates": {
            name: {"passed": passed, "failed": failed} for name, (passed, failed) in account.gates.items()
        },
        "files": account.files,
        "unparseable": dict(account.unparsed),
        "left_out": dict(account.left_out),
        "edited": dict(account.edited),
        "environments": list(account.environments),
        "requirement": msgspec.to_builtins(requirement),
        "seconds": round(account.seconds, 3),
    }
