"""Remove the state, logs and sockets of a stopped fleet.

Does not touch a running fleet or files that argosy did not create. `--all` removes those of all of this
user's fleets whose fleet file is missing, and runtime folders without a listening process.

example: argosy clean --all --dry-run
"""

from __future__ import annotations

import argparse
import os
import sys

from argosy.cli.arguments import add_fleet, add_options, parse_fleet
from argosy.cli.console import print_json, print_note
from argosy.engine.state.state_dir import locate_state_dir, runtime_bases, state_home
from argosy.engine.supervisor.state_cleanup import (
    DirectoryInUse,
    StaleDirectory,
    clean_fleet,
    clean_unused_directories,
)
from argosy.fleet.quantities import format_size


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy clean`."""
    add_fleet(parser)
    options = {
        "--all": "clean all fleets whose fleet file is missing",
        "--dry-run": "show what would be removed; remove nothing",
    }
    add_options(parser, options)


def run(args: argparse.Namespace) -> int:
    """Remove the files and list them; returns 1 if the selected fleet runs."""
    if args.all:
        results = clean_unused_directories(
            state_home(os.environ), runtime_bases(os.environ), is_dry_run=args.dry_run
        )
    else:
        path, _ = parse_fleet(args)
        results = clean_fleet(locate_state_dir(path), "nothing of this fleet runs", is_dry_run=args.dry_run)
    removed = [each for each in results if isinstance(each, StaleDirectory)]
    skipped = [each for each in results if isinstance(each, DirectoryInUse)]
    if args.as_json:
        print_json(_clean_json(removed, skipped, is_dry=args.dry_run))
    else:
        _show(removed, skipped, is_dry=args.dry_run)
    return 1 if skipped and not args.all else 0


def _clean_json(
    removed: list[StaleDirectory], skipped: list[DirectoryInUse], *, is_dry: bool
) -> dict[str, object]:
    reasons = {str(each.directory): each.reason for each in skipped}
    reasons |= {str(path): "it is not argosy's" for each in removed for path in each.unknown_paths}
    return {
        "argosy": "clean/1",
        "dry_run": is_dry,
        "removed": [str(path) for each in removed for path in each.paths],
        "kept": reasons,
        "bytes": sum(each.size_bytes for each in removed),
    }


def _show(removed: list[StaleDirectory], skipped: list[DirectoryInUse], *, is_dry: bool) -> None:
    action = "would remove" if is_dry else "removed"
    for each in removed:
        files = sum(not path.is_dir() for path in each.paths) if is_dry else len(each.paths)
        print(f"{action} {files} in {each.directory} ({format_size(each.size_bytes)}): {each.reason}")
        for path in each.unknown_paths:
            print(f"kept {path}: it is not argosy's")
    for found in skipped:
        print(f"kept {found.directory}: {found.reason}")
    for name in sorted({found.fleet for found in skipped if found.fleet}):
        print_note("hint", f"`argosy down {name}` stops it", stream=sys.stdout)
    if not removed and not skipped:
        print("nothing to remove")
