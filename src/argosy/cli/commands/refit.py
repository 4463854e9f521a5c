"""Apply behaviour-preserving rewrites: own contexts, literal addresses, health loops, short requests.

Without `--apply` the changes are shown as a diff. A file is changed only if it passes every gate;
everything else is reported with its reason. Only `*.py` files are changed. Exit code 1: a gate stopped
a file, or a file could not be written or restored.

example: argosy refit src --select Z301 --apply --verify "pytest -q"

"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path

import msgspec

from argosy.cli.arguments import FLEET_FILE, add_json, add_options, add_path, fleet_of_tree, split_codes
from argosy.cli.console import print_json, print_note
from argosy.cli.progress import ProgressLine
from argosy.cli.render.refit_text import print_refit
from argosy.fault import Fault, InputError, RefusedError
from argosy.fleet import Fleet, read_fleet
from argosy.refit.codemods import file_pipeline
from argosy.refit.codemods.missing_requirement import MissingRequirement, find_missing_requirement
from argosy.refit.codemods.tree_pipeline import RefitReport, apply_codemods, plan_codemods
from argosy.refit.transaction import git_status
from argosy.refit.transaction.file_transaction import lock_tree, undo_run


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy refit`."""
    add_path(parser, "a folder (default: this one)")
    options = {
        "--fleet F": f"the fleet file with the addresses (default: PATH/{FLEET_FILE}, if it exists)",
        "--select CODES": "only these codes, such as `Z301,A`; a letter selects a family",
        "--exclude GLOB...": "skip files; repeatable",
        "--apply": "write the changes, as one run that can be undone",
    }
    add_options(parser, options)
    parser.add_argument(
        "--undo", nargs="?", const="", metavar="RUN", help="restore the files of a run (default: the newest)"
    )
    options = {
        "--verify CMD": "the project's own check; files that make it fail are left unchanged",
        "--dirty": "also write files that are not committed in git",
    }
    add_options(parser, options)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Plan, write or undo a refit, print the summary, and return the exit code."""
    root = Path(args.path)
    if not root.is_dir():
        raise InputError(Fault(str(root), "no-folder", f"there is no folder `{root}`"))
    real_root = os.path.realpath(root)
    if args.undo is not None:
        return _undo(real_root, args)
    if args.verify and not args.apply:
        raise InputError(Fault("--verify", "usage", "it checks written files, so it needs `--apply`"))
    codemods = file_pipeline.select_codemods(split_codes(args.select))
    if not codemods:
        hint = f"known codes: {', '.join(file_pipeline.codemod_codes())}"
        message = f"no rewrite has the code `{args.select}`"
        raise InputError(Fault("--select", "unknown-code", message, hint))
    with ProgressLine() as progress:
        report = plan_codemods(
            real_root,
            codemods,
            fleet=_load_fleet(root, args.fleet),
            exclude=args.exclude,
            progress=partial(progress.show, "rewriting files"),
        )
    if args.apply:
        if (
            report.after
            and not args.dirty
            and (unsaved := git_status.find_uncommitted(real_root, report.after))
        ):
            hint = "commit or stash them, `--exclude` what git ignores; `--dirty` writes them anyway"
            raise RefusedError(Fault(str(root), "dirty", git_status.describe_uncommitted(unsaved), hint))
        report = apply_codemods(report, args.verify)
    requirement = _missing_requirement(report)
    if args.as_json:
        print_json(_refit_json(report, requirement))
    else:
        print_refit(report, requirement, is_applied=args.apply)
    return 1 if any(failed for name, (_, failed) in report.checks.items() if name != "input") else 0


def _load_fleet(root: Path, chosen: str | None) -> Fleet | None:
    path = fleet_of_tree(root, chosen)
    if path is None:
        return None
    fleet, faults = read_fleet(path)
    if fleet is None:
        raise InputError(*faults)
    return fleet


def _missing_requirement(report: RefitReport) -> MissingRequirement | None:
    if not report.after:
        return None
    directories = {"" if "/" not in path else path.rpartition("/")[0] for path in report.after}
    top_directories = {folder.split("/", 1)[0] for folder in directories}
    return find_missing_requirement(report.root, {"", *directories, *top_directories})


def _undo(root: str, args: argparse.Namespace) -> int:
    with lock_tree(root):
        undone, conflicts = undo_run(root, args.undo or None)
    conflicting = {item.path for item in conflicts}
    restored = [entry.path for entry in undone.files if entry.path not in conflicting]
    if args.as_json:
        kept = msgspec.to_builtins(conflicts)
        print_json({"argosy": "refit/1", "run": undone.run, "restored": restored, "kept": kept})
    else:
        for item in conflicts:
            print_note("error", f"{item.path}: {item.reason}")
        sys.stdout.write(f"{undone.run}: {len(restored)} of {len(undone.files)} files restored\n")
    return 1 if conflicts else 0


def _refit_json(report: RefitReport, requirement: MissingRequirement | None) -> dict[str, object]:
    return {
        "argosy": "refit/1",
        "run": report.run,
        "changed": list(report.after),
        "sites": report.site_counts(),
        "migrated": [msgspec.to_builtins(site) for site in report.migrated],
        "refused": [msgspec.to_builtins(item) for item in report.refused],
        "leftovers": [msgspec.to_builtins(item) for item in report.unused_imports],
        "gates": {
            name: {"passed": passed, "failed": failed} for name, (passed, failed) in report.checks.items()
        },
        "files": report.files,
        "unparseable": dict(report.parse_errors),
        "left_out": dict(report.unreadable),
        "edited": dict(report.concurrently_edited),
        "environments": list(report.virtual_environments),
        "requirement": msgspec.to_builtins(requirement),
        "seconds": round(report.seconds, 3),
    }
