"""Diagnose this machine, and the fleet if there is one; changes nothing.

Exit code 1: there is an error that prevents a fleet, or this one, from running as declared.

example: argosy doctor path/to/fleet.yaml
"""

from __future__ import annotations

import argparse
import os

import msgspec

from argosy.cli.arguments import add_fleet, environment_name, parse_fleet
from argosy.cli.console import paint, print_json
from argosy.engine.explain.diagnostics import DiagnosticCheck, diagnose_fleet, diagnose_machine
from argosy.fault import InputError
from argosy.fleet.quantities import format_count

_COLOURS = {"ok": "green", "note": "dim", "warning": "yellow", "error": "red"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy doctor`."""
    add_fleet(parser)
    parser.add_argument("--machine", metavar="M", help="the machine of the fleet that this host is")


def run(args: argparse.Namespace) -> int:
    """Run the checks; returns 0 without errors. Raises InputError: the given fleet does not exist."""
    variables = dict(os.environ)
    checks = list(diagnose_machine(variables))
    try:
        path, _ = parse_fleet(args)
    except InputError:
        if args.fleet is not None or args.positionals:
            raise
        checks.append(
            DiagnosticCheck("fleet file", "note", "there is none in this folder or a parent", "`argosy init`")
        )
    else:
        checks += diagnose_fleet(path, environment_name(args), args.machine, variables)
    error_count = sum(check.state == "error" for check in checks)
    if args.as_json:
        print_json({"argosy": "doctor/1", "checks": [msgspec.to_builtins(check) for check in checks]})
        return bool(error_count)
    width = max(len(check.name) for check in checks)
    for check in checks:
        print(f"{paint(f'{check.state:<8}', _COLOURS[check.state])} {check.name:<{width}}  {check.message}")
        if check.hint and check.state != "ok":
            print(f"{'':<{9 + width}}  {paint('hint:', 'cyan')} {check.hint}")
    warnings = sum(check.state == "warning" for check in checks)
    counts = f"{format_count(error_count, 'error')}, {format_count(warnings, 'warning')}"
    print(f"{format_count(len(checks), 'check')}: {counts}")
    return bool(error_count)
