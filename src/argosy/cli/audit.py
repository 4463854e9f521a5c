"""Find what is wrong with a tree of Python files; never imports or runs what it reads.

Every `*.py` below PATH is read, but `.git`, `.argosy` and links. What was found is remembered, so
that a second run reads only what has changed. Exit code 1: something was found.

example: argosy audit src --select S,Z301 --since origin/main
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import msgspec

from argosy.cli.arguments import FLEET_FILE, add_json
from argosy.cli.report import print_json
from argosy.fault import Fault, InputError
from argosy.fleet import Fleet, read_fleet
from argosy.refit.audit import Report, audit
from argosy.refit.cache import default_folder
from argosy.refit.finding import Finding


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy audit`."""
    parser.add_argument("path", nargs="?", default=".", metavar="PATH", help="a folder (default: this one)")
    parser.add_argument(
        "--select", metavar="CODES", help="only these, such as `S101,Z`: a letter is a family"
    )
    parser.add_argument("--exclude", metavar="GLOB", action="append", default=[], help="leave out")
    parser.add_argument(
        "--fleet", metavar="PATH", help=f"the fleet file (default: PATH/{FLEET_FILE}, if it is there)"
    )
    parser.add_argument("--no-cache", action="store_true", help="read everything anew, remember nothing")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Audit one tree, print what was found, and return the exit code."""
    root = Path(args.path)
    if not root.is_dir():
        raise InputError(Fault(str(root), "no-folder", f"there is no folder `{root}`"))
    fleet = _fleet(root, args.fleet)
    cache = None if args.no_cache else default_folder()
    report = audit(root, exclude=args.exclude, fleet=fleet, cache=cache)
    findings = _selected(report, args.select)
    if args.as_json:
        print_json(_as_object(report, findings))
    else:
        for item in findings:
            sys.stdout.write(f"{item.path}:{item.line}:{item.column} {item.code} {item.message}\n")
        for line in _refusals(report):
            sys.stderr.write(f"{line}\n")
    return 1 if findings else 0


def _fleet(root: Path, chosen: str | None) -> Fleet | None:
    path = Path(chosen) if chosen else root / FLEET_FILE
    if chosen is None and not path.is_file():
        return None
    fleet, faults = read_fleet(path / FLEET_FILE if path.is_dir() else path)
    if fleet is None:
        raise InputError(*faults)
    return fleet


def _selected(report: Report, select: str | None) -> list[Finding]:
    codes = tuple(code.strip().upper() for code in (select or "").split(",") if code.strip())
    return [item for item in report.findings if not codes or item.code.startswith(codes)]


def _refusals(report: Report) -> list[str]:
    """Return why rules were not asked, one line a reason."""
    codes: dict[str, list[str]] = {}
    for code, reason in report.refused.items():
        codes.setdefault(reason, []).append(code)
    return [f"not asked: {', '.join(held)}: {reason}" for reason, held in codes.items()]


def _as_object(report: Report, findings: list[Finding]) -> dict[str, object]:
    return {
        "argosy": "audit/1",
        "files": report.verdict.files,
        "unparseable": [path for path, fault in report.verdict.unparsed.items() if fault.stage != "compile"],
        "findings": [_item(item) for item in findings],
        "counts": dict(sorted(Counter(item.code for item in findings).items())),
        "seconds": round(report.seconds, 3),
        "read": report.read,
        "ignored": report.verdict.ignored,
        "refused": report.refused,
        "failures": msgspec.to_builtins(report.verdict.failures),
    }


def _item(item: Finding) -> dict[str, object]:
    return {
        name: getattr(item, name)
        for name in ("code", "path", "line", "column", "message", "action", "symbol", "hint", "group")
    }
