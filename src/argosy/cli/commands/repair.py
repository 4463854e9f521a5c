"""Propose patches for Python files that do not parse, or that read names nothing binds.

Nothing is written without --apply. Each proposal has its evidence: it parses and compiles, only the
listed lines changed, and no name was lost. The output is a patch for `git apply`; `--apply` writes it
as one run, which `argosy refit --undo` reverts. Exit code 1: a file that does not parse has no
proposal, or one could not be written.

example: argosy repair agents/ > repair.patch

"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import msgspec

from argosy.cli.arguments import add_json, add_options, add_path
from argosy.cli.console import print_json, print_note
from argosy.cli.progress import ProgressLine
from argosy.fault import Fault, InputError, RefusedError
from argosy.fleet.quantities import format_count
from argosy.refit.repair.proposal import RepairProposal, RepairStep
from argosy.refit.repair.tree_repair import RepairReport, apply_repair, repair_tree
from argosy.refit.transaction import git_status


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy repair`."""
    add_path(parser, "a folder or one file (default: this folder)")
    options = {
        "--exclude GLOB...": "skip files; repeatable",
        "--absent PACKAGES...": "packages, by import name, that are not installed where the code runs: their "
        "imports may fail, "
        "and code that uses them fails with an error that names the package",
        "--brief": "only the steps, without the patches",
        "--apply": "write the proposals, as one run that can be undone",
        "--dirty": "also write files that are not committed in git",
    }
    add_options(parser, options)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Read one tree, print the proposals, and return the exit code."""
    if not os.path.exists(args.path):
        raise InputError(Fault(args.path, "no-path", f"there is no file or folder `{args.path}`"))
    with ProgressLine() as progress:
        report = repair_tree(
            args.path,
            exclude=args.exclude,
            missing_packages=_parse_packages(args.absent),
            progress=progress.show,
        )
    if args.apply:
        report = _apply(report, allow_dirty=args.dirty)
    if args.as_json:
        print_json(_repair_json(report))
    else:
        _print_text(report, is_brief=args.brief or args.apply)
    is_complete = all(item.is_applicable for item in report.proposals) and not report.unreadable
    return 0 if is_complete and not report.conflicts else 1


def _parse_packages(options: Sequence[str]) -> set[str]:
    """Return the names of `--absent a,b --absent c`. Raises InputError: one is not a top-level name."""
    names = {name.strip() for item in options for name in item.split(",")} - {""}
    for name in sorted(names):
        if not name.isidentifier():
            hint = "give the import name without submodules: `--absent torch`"
            raise InputError(Fault("--absent", "invalid-package", f"`{name}` is not a package name", hint))
    return names


def _apply(report: RepairReport, *, allow_dirty: bool) -> RepairReport:
    paths = [item.path for item in report.proposals if item.is_applicable]
    if paths and not allow_dirty and (unsaved := git_status.find_uncommitted(report.root, paths)):
        hint = "commit or stash them; `--dirty` writes them anyway"
        raise RefusedError(Fault(report.root, "dirty", git_status.describe_uncommitted(unsaved), hint))
    return apply_repair(report)


def _repair_json(report: RepairReport) -> dict[str, object]:
    return {
        "argosy": "repair/1",
        "read": report.files,
        "files": {item.path: _proposal_json(item) for item in report.proposals},
        "unreadable": {item.path: item.message for item in report.unreadable},
        "run": report.run,
        "changed": list(report.changed),
        "kept": msgspec.to_builtins(report.conflicts),
    }


def _proposal_json(item: RepairProposal) -> dict[str, object]:
    return {
        "parses": item.is_applicable,
        "steps": msgspec.to_builtins(item.steps),
        "damage": item.damage.damage.value if item.damage is not None else None,
        "line": item.damage.line if item.damage is not None else item.steps[0].line,
        "column": item.damage.column if item.damage is not None else 1,
        "message": item.damage.message if item.damage is not None else "",
        "gates": item.checks,
        "undefined": msgspec.to_builtins(item.undefined),
        "patch": item.diff() if item.is_applicable else "",
    }


def _print_text(report: RepairReport, *, is_brief: bool) -> None:
    write = sys.stdout.write
    for failed in report.unreadable:
        write(f"{failed.path}:{failed.line}:{failed.column}: cannot be read: {failed.message}\n\n")
    for item in report.proposals:
        write("\n".join(_proposal_lines(item)) + "\n")
        if item.is_applicable and not is_brief:
            write(item.diff())
        write("\n")
    for conflict in report.conflicts:
        print_note("error", f"{conflict.path}: {conflict.reason}")
    write(summary_line(report) + "\n")
    if report.run is not None:
        place = "" if report.root == os.getcwd() else f" {report.root}"
        count = len(report.changed)
        write(f"{count} written as run {report.run}; `argosy refit{place} --undo` reverts them\n")


def _proposal_lines(item: RepairProposal) -> list[str]:
    damage = item.damage
    if damage is None:
        lines = [f"{item.path}:{item.steps[0].line}:1: parses, but cannot run"]
    else:
        lines = [f"{item.path}:{damage.line}:{damage.column}: {damage.describe()} ({damage.message})"]
    if item.is_applicable:
        lines += [_step_line(step) for step in item.steps]
    else:
        lines.append(f"  no proposal: {_failure_reason(item)}")
        return lines
    if item.undefined:
        names = ", ".join(f"`{name.name}` (line {name.line})" for name in item.undefined)
        lines.append(f"  unresolved, read where nothing binds them: {names}")
    unchanged_tokens = min(step.unchanged_tokens for step in item.steps)
    lines.append(f"  parses, compiles; {unchanged_tokens} tokens proven unchanged; no name lost")
    return lines


def _step_line(step: RepairStep) -> str:
    family = f" [{step.family}]" if step.family else ""
    choices = f" (one of {step.alternatives} ways)" if step.alternatives > 1 else ""
    return f"  line {step.line}: {step.description}{choices}{family}"


def _failure_reason(item: RepairProposal) -> str:
    failed = [gate for gate, holds in item.checks.items() if not holds]
    if not item.steps:
        return "no repair rule applies"
    if "parses" in failed:
        return f"{len(item.steps)} steps apply, and it still does not parse"
    return f"a gate failed: {', '.join(failed)}"


def summary_line(report: RepairReport) -> str:
    """Return such as `989 files: 795 parse (40 with a proposal), 176 would with these, 18 do not`."""
    broken = [item for item in report.proposals if item.damage is not None]
    repaired: Sequence[RepairProposal] = [item for item in broken if item.is_applicable]
    open_names = sum(1 for item in repaired if item.undefined)
    parsed = report.files - len(broken) - len(report.unreadable)
    improved = sum(1 for item in report.proposals if item.damage is None and item.is_applicable)
    text = f"{format_count(report.files, 'file')}: {parsed} parse"
    if improved:
        text += f" ({improved} of them with a proposal)"
    text += f", {len(repaired)} would with these proposals"
    if open_names:
        text += f" ({open_names} of them with names for you to decide)"
    text += f", {len(broken) - len(repaired)} without a proposal"
    return text + (f", {len(report.unreadable)} unreadable" if report.unreadable else "")
