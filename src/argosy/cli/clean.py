"""Remove what a stopped fleet has left: its state, its logs, its sockets.

Nothing of a fleet that runs is touched, and no file that argosy did not make. With `--all` it is
about all of this user's fleets whose file is gone, and runtime folders in which nobody listens.

example: argosy clean --all --dry-run
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from argosy.cli.arguments import add_fleet, take_fleet
from argosy.cli.report import paint, print_json
from argosy.engine.cleaning import Kept, Leftover, clean_fleet, clean_strangers
from argosy.engine.folder import folder_of, runtime_bases, state_home
from argosy.fleet.units import shown_size

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy clean`."""
    add_fleet(parser)
    parser.add_argument("--all", action="store_true", help="what is left of fleets whose file is gone")
    parser.add_argument("--dry-run", action="store_true", help="say what would be removed, remove nothing")


def run(args: argparse.Namespace) -> int:
    """Remove, and say what; returns 1 when the fleet that was meant runs."""
    if args.all:
        done = clean_strangers(state_home(os.environ), runtime_bases(os.environ), is_dry=args.dry_run)
    else:
        path, _ = take_fleet(args)
        done = clean_fleet(folder_of(path), "nothing of this fleet runs", is_dry=args.dry_run)
    removed = [each for each in done if isinstance(each, Leftover)]
    kept = [each for each in done if isinstance(each, Kept)]
    if args.as_json:
        print_json(_json(removed, kept, is_dry=args.dry_run))
    else:
        _show(removed, kept, is_dry=args.dry_run)
    return 1 if kept and not args.all else 0


def _json(removed: list[Leftover], kept: list[Kept], *, is_dry: bool) -> dict[str, object]:
    reasons = {str(each.folder): each.why for each in kept}
    reasons |= {str(path): "it is not argosy's" for each in removed for path in each.others}
    return {
        "argosy": "clean/1",
        "dry_run": is_dry,
        "removed": [str(path) for each in removed for path in each.paths],
        "kept": reasons,
        "bytes": sum(each.size_bytes for each in removed),
    }


def _show(removed: list[Leftover], kept: list[Kept], *, is_dry: bool) -> None:
    verb = "would remove" if is_dry else "removed"
    for each in removed:
        files = sum(not path.is_dir() for path in each.paths) if is_dry else len(each.paths)
        print(f"{verb} {files} in {each.folder} ({shown_size(each.size_bytes)}): {each.why}")
        for path in each.others:
            print(f"kept {path}: it is not argosy's")
    for found in kept:
        print(f"kept {found.folder}: {found.why}")
    for name in sorted({found.fleet for found in kept if found.fleet}):
        print(f"{paint('hint:', 'cyan')} `argosy down {name}` stops it")
    if not removed and not kept:
        print("nothing is left")
