"""Propose patches for Python files that do not parse, or read names that nothing binds.

Nothing is written without --apply. Each proposal comes with its evidence: it parses and compiles,
nothing but the lines that are told has changed, and no name was lost. What is printed is a patch
that `git apply` takes; `--apply` writes all of it as one run, which `argosy refit --undo` takes
back. Exit code 1: some file that does not parse has no proposal, or one was not written.

example: argosy repair agents/ > repair.patch
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import msgspec

from argosy.cli.arguments import add_json
from argosy.cli.progress import Progress
from argosy.cli.report import paint, print_json
from argosy.fault import Fault, InputError, RefusedError
from argosy.fleet.units import counted
from argosy.refit.repair.proposal import Proposal, Step
from argosy.refit.repair.tree import Account, apply_repair, repair_tree
from argosy.refit.rewrite import repository


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy repair`."""
    parser.add_argument(
        "path", nargs="?", default=".", metavar="PATH", help="a folder or one file (default: this folder)"
    )
    parser.add_argument("--exclude", metavar="GLOB", action="append", default=[], help="leave out")
    parser.add_argument(
        "--absent",
        metavar="PACKAGES",
        action="append",
        default=[],
        help="packages, by the names they are imported by, that are not there where the code will run: "
        "their imports may fail, and what uses them fails by name",
    )
    parser.add_argument("--brief", action="store_true", help="the steps alone, without the patches")
    parser.add_argument(
        "--apply", action="store_true", help="write the proposals, as one run that can be undone"
    )
    parser.add_argument("--dirty", action="store_true", help="write also files that git has no copy of")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Look at one tree, print what is proposed, and return the exit code."""
    if not os.path.exists(args.path):
        raise InputError(Fault(args.path, "no-path", f"there is no file or folder `{args.path}`"))
    with Progress() as progress:
        account = repair_tree(
            args.path, exclude=args.exclude, absent=_packages(args.absent), progress=progress.show
        )
    if args.apply:
        account = _applied(account, is_dirty=args.dirty)
    if args.as_json:
        print_json(_as_object(account))
    else:
        _print_text(account, is_brief=args.brief or args.apply)
    is_whole = all(item.parses for item in account.proposals) and not account.unreadable
    return 0 if is_whole and not account.kept else 1


def _packages(told: Sequence[str]) -> set[str]:
    """Return the names of `--absent a,b --absent c`. Raises InputError: one is no name of a top module."""
    names = {name.strip() for item in told for name in item.split(",")} - {""}
    for name in sorted(names):
        if not name.isidentifier():
            hint = "give it as the code imports it, without what comes after a dot: `--absent torch`"
            raise InputError(Fault("--absent", "bad-package", f"`{name}` is no name of a package", hint))
    return names


def _applied(account: Account, *, is_dirty: bool) -> Account:
    paths = [item.path for item in account.proposals if item.parses]
    if paths and not is_dirty and (unsaved := repository.unsaved(account.root, paths)):
        hint = "commit or stash them; `--dirty` writes all the same"
        raise RefusedError(Fault(account.root, "dirty", repository.describe(unsaved), hint))
    return apply_repair(account)


def _as_object(account: Account) -> dict[str, object]:
    return {
        "argosy": "repair/1",
        "read": account.files,
        "files": {item.path: _item(item) for item in account.proposals},
        "unreadable": {item.path: item.message for item in account.unreadable},
        "run": account.run,
        "changed": list(account.changed),
        "kept": msgspec.to_builtins(account.kept),
    }


def _item(item: Proposal) -> dict[str, object]:
    return {
        "parses": item.parses,
        "steps": msgspec.to_builtins(item.steps),
        "damage": item.damage.damage.value if item.damage is not None else None,
        "line": item.damage.line if item.damage is not None else item.steps[0].line,
        "column": item.damage.column if item.damage is not None else 1,
        "message": item.damage.message if item.damage is not None else "",
        "gates": item.gates,
        "undefined": msgspec.to_builtins(item.undefined),
        "patch": item.diff() if item.parses else "",
    }


def _print_text(account: Account, *, is_brief: bool) -> None:
    write = sys.stdout.write
    for failed in account.unreadable:
        write(f"{failed.path}:{failed.line}:{failed.column}: cannot be read: {failed.message}\n\n")
    for item in account.proposals:
        write("\n".join(_told(item)) + "\n")
        if item.parses and not is_brief:
            write(item.diff())
        write("\n")
    for kept in account.kept:
        sys.stderr.write(f"{paint('error:', 'red', sys.stderr)} {kept.path}: {kept.reason}\n")
    write(closing_line(account) + "\n")
    if account.run is not None:
        place = "" if account.root == os.getcwd() else f" {account.root}"
        count = len(account.changed)
        write(f"{count} written as run {account.run}; `argosy refit{place} --undo` takes them back\n")


def _told(item: Proposal) -> list[str]:
    damage = item.damage
    if damage is None:
        lines = [f"{item.path}:{item.steps[0].line}:1: parses, and cannot run as it is"]
    else:
        lines = [f"{item.path}:{damage.line}:{damage.column}: {damage.told()} ({damage.message})"]
    if item.parses:
        lines += [_step_told(step) for step in item.steps]
    else:
        lines.append(f"  no proposal: {_why_not(item)}")
        return lines
    if item.undefined:
        names = ", ".join(f"`{name.name}` (line {name.line})" for name in item.undefined)
        lines.append(f"  left for you to decide, read where nothing has bound them: {names}")
    kept = min(step.kept for step in item.steps)
    lines.append(f"  parses, compiles; {kept} tokens proven as they were; no name lost")
    return lines


def _step_told(step: Step) -> str:
    family = f" [{step.family}]" if step.family else ""
    choices = f" (one of {step.choices} ways)" if step.choices > 1 else ""
    return f"  line {step.line}: {step.said}{choices}{family}"


def _why_not(item: Proposal) -> str:
    failed = [gate for gate, holds in item.gates.items() if not holds]
    if not item.steps:
        return "no rule mends this"
    if "parses" in failed:
        return f"{len(item.steps)} steps help, and it still does not parse"
    return f"a gate does not hold: {', '.join(failed)}"


def closing_line(account: Account) -> str:
    """Return such as `989 files: 795 parse (40 with a proposal), 176 would with these, 18 do not`."""
    broken = [item for item in account.proposals if item.damage is not None]
    mended: Sequence[Proposal] = [item for item in broken if item.parses]
    open_names = sum(1 for item in mended if item.undefined)
    parsed = account.files - len(broken) - len(account.unreadable)
    better = sum(1 for item in account.proposals if item.damage is None and item.parses)
    text = f"{counted(account.files, 'file')}: {parsed} parse"
    if better:
        text += f" ({better} of them with a proposal)"
    text += f", {len(mended)} would with these proposals"
    if open_names:
        text += f" ({open_names} of them with names for you to decide)"
    text += f", {len(broken) - len(mended)} without a proposal"
    return text + (f", {len(account.unreadable)} unreadable" if account.unreadable else "")
