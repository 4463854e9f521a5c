"""Check a fleet file and the code that its agents run; starts nothing.

Exit code 2: the file is invalid, also for the environment that ENV_TYPE or --env selects. 1: the code of
an agent cannot work. 0: no errors; warnings do not count.

example: argosy check fleet.yaml --env production
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import IO

import msgspec

from argosy.cli.arguments import add_fleet, environment_name, parse_fleet
from argosy.cli.console import paint, print_json
from argosy.engine.explain.preflight import PreflightReport, run_preflight
from argosy.fault import Fault, InputError
from argosy.fleet import Fleet, place, read_fleet
from argosy.fleet.environments import local_machines
from argosy.fleet.quantities import format_count


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy check`."""
    add_fleet(parser)


def run(args: argparse.Namespace) -> int:
    """Check a fleet, print the faults, and return the exit code."""
    try:
        path, _ = parse_fleet(args)
    except InputError as error:
        if not args.as_json:
            raise
        return _print_json(error.faults, None)
    fleet, faults = read_fleet(path)
    if fleet is not None:
        faults = [*faults, *_environment_faults(fleet, environment_name(args), faults)]
    report = run_preflight(fleet, machines=_machines(fleet, args)) if fleet is not None else None
    if args.as_json:
        return _print_json(faults, report)
    return _print_text(faults, report)


def _environment_faults(fleet: Fleet, environment: str, known: Sequence[Fault]) -> list[Fault]:
    """Return the faults of the environment that are not among the known faults of the file."""
    try:
        place(fleet, environment, os.environ)
    except InputError as error:
        places = {(fault.where, fault.code) for fault in known}
        return [fault for fault in error.faults if (fault.where, fault.code) not in places]
    return []


def _machines(fleet: Fleet, args: argparse.Namespace) -> frozenset[str | None] | None:
    """Return the machines of the fleet that this host is, None if that is unknown."""
    try:
        return local_machines(place(fleet, environment_name(args), os.environ), None, os.environ)
    except InputError:
        return None


def _exit_code(faults: Sequence[Fault], report: PreflightReport | None) -> int:
    if faults or report is None:
        return 2
    return 1 if report.errors else 0


def _print_json(faults: Sequence[Fault], report: PreflightReport | None) -> int:
    errors = [*faults, *(report.errors if report else ())]
    print_json(
        {
            "argosy": "check/1",
            "errors": msgspec.to_builtins(errors),
            "warnings": msgspec.to_builtins(report.warnings if report else ()),
            "agents": report.agents if report else 0,
            "cannot_start": report.start_obstacles if report else {},
        }
    )
    return _exit_code(faults, report)


def _print_text(faults: Sequence[Fault], report: PreflightReport | None) -> int:
    """Print the faults of the file on stderr, as every command does, and those of the code on stdout."""
    _print_faults(faults, "error", "red", sys.stderr)
    if report is not None:
        sys.stderr.flush()
        _print_faults(report.errors, "error", "red", sys.stdout)
        _print_faults(report.warnings, "warning", "yellow", sys.stdout)
        sys.stdout.write(summary_line(report, len(faults)) + "\n")
    return _exit_code(faults, report)


def _print_faults(faults: Sequence[Fault], label: str, colour: str, stream: IO[str]) -> None:
    for fault in faults:
        place_ = f"{fault.where}: " if fault.where else ""
        stream.write(f"{paint(label + ':', colour, stream)} {place_}{fault.code} {fault.message}\n")
        if fault.hint:
            stream.write(f"{paint('hint:', 'cyan', stream)} {fault.hint}\n")


def summary_line(report: PreflightReport, file_faults: int = 0) -> str:
    """Return a line such as `84 agents: 61 can start, 23 cannot (23 do not parse); 12 warnings`."""
    cannot_start = len(report.start_obstacles)
    text = f"{format_count(report.agents, 'agent')}: {report.agents - cannot_start} can start"
    if cannot_start:
        text += f", {cannot_start} cannot"
        if unparsed := len(report.unparsed_agents):
            text += f" ({unparsed} {'does' if unparsed == 1 else 'do'} not parse)"
    counts = []
    if file_faults:
        counts.append(f"{format_count(file_faults, 'fault')} in the file")
    if report.errors:
        counts.append(f"{format_count(len(report.errors), 'error')} in the code")
    if report.warnings:
        counts.append(format_count(len(report.warnings), "warning"))
    return f"{text}; {', '.join(counts)}" if counts else f"{text}; no faults"
