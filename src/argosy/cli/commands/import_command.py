"""Write a fleet file from an existing configuration, with a comment on every decision.

PATH is a file, or a folder whose files and configuration folders are searched. Supported are startup
configs (agents by name, or in a list), Docker Compose files, Procfiles and supervisord.conf.

example: argosy import docker-compose.yml -o fleet.yaml
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from argosy.atomic_file import write_atomic
from argosy.cli.arguments import add_json, add_options
from argosy.cli.console import paint, print_json
from argosy.fault import Fault, InputError
from argosy.fleet.fleet_spec import NAME_PATTERN
from argosy.fleet.importers import ImportPlan, plan_import, render_fleet_file, summarize_plan
from argosy.fleet.loader import load_fleet
from argosy.fleet.locations import format_path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy import`."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file, or a folder to search")
    options = {
        "-o, --output FILE": "the fleet file to write (default: print it)",
        "--machine NAME=PATH...": "the machine of what is found at PATH "
        "(default: from the paths; repeatable)",
        "--address NAME=ADDRESS...": "the address of a machine in `development`, or HOST[:PORT] of an "
        "external service; "
        "refit replaces such an address in the source (default: 127.0.0.1; repeatable)",
        "--force": "overwrite FILE if it differs",
    }
    add_options(parser, options)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Import, write or print the fleet file, and print the decisions.

    Raises InputError: nothing to import was found, or a different file exists.
    """
    output = Path(args.output).expanduser() if args.output is not None else None
    if output is not None and output.is_dir():
        output = output / "fleet.yaml"
    directory = output.absolute().parent if output is not None else Path.cwd()
    paths = [Path(path).expanduser() for path in args.paths]
    machines = {
        Path(os.path.normpath(Path(path).expanduser().absolute())): name
        for name, path in _parse_pairs(args.machine, "--machine", "PATH", "mainpc=main/config")
    }
    addresses = dict(_parse_pairs(args.address, "--address", "ADDRESS", "pc2=10.0.0.2"))
    plan = plan_import(paths, directory, machines, addresses)
    text = render_fleet_file(plan)
    # The written file must be valid; faults of the scripts are left for `check`.
    load_fleet(output or directory / "fleet.yaml", text)
    if output is not None:
        write_fleet_file(output, text, force=args.force)
    if args.as_json:
        print_json(_import_json(plan, output, text))
    else:
        _print_decisions(plan, output)
        if output is None:
            sys.stdout.write(text)
    return 0


def _parse_pairs(options: list[str], option: str, value_name: str, example: str) -> Iterator[tuple[str, str]]:
    """Yield name and value of each word. Raises InputError: one is not `NAME=...`."""
    for option_value in options:
        name, _, value = option_value.partition("=")
        if not value or not re.fullmatch(NAME_PATTERN, name):
            message = f"found `{option_value}`, expected NAME={value_name}"
            raise InputError(Fault(option, "usage", message, f"such as `{option} {example}`"))
        yield name, value


def write_fleet_file(path: Path, text: str, *, force: bool) -> None:
    """Write `text` to `path` in one step: another process sees the old file or the new one, never a part.

    Raises InputError: a different file is there and `force` is false, or the folder cannot be written to.
    """
    try:
        if path.exists() and path.read_bytes() == text.encode():
            return
        if path.exists() and not force:
            message = f"`{format_path(path)}` already exists and differs"
            hint = "`--force` overwrites it; another `-o` keeps both"
            raise InputError(Fault(format_path(path), "exists", message, hint))
        write_atomic(path, text.encode(), is_synced=True)
    except OSError as error:
        message = f"the file cannot be written: {(error.strerror or type(error).__name__).lower()}"
        raise InputError(Fault(format_path(path), "unwritable", message)) from error


def _import_json(plan: ImportPlan, output: Path | None, text: str) -> dict[str, object]:
    decisions = [{"where": one.where, "what": one.what, "why": one.why} for one in plan.decisions]
    value: dict[str, object] = {
        "argosy": "import/1",
        "agents": len(plan.agents),
        "edges": plan.edge_count,
        "machines": list(plan.machines),
        "decisions": decisions,
        "file": None if output is None else str(output),
    }
    return value if output is not None else {**value, "text": text}


def _print_decisions(plan: ImportPlan, output: Path | None) -> None:
    """Print the decisions and the summary on stderr."""
    for decision in plan.decisions:
        location = f"{decision.where}: " if decision.where else ""
        sys.stderr.write(f"{paint('decided:', 'yellow', sys.stderr)} {location}{decision.what}\n")
        sys.stderr.write(f"  {paint(decision.why, 'dim', sys.stderr)}\n")
    sys.stderr.write(f"{summarize_plan(plan)} {len(plan.decisions)} decisions.\n")
    if output is not None:
        name = format_path(output)
        sys.stderr.write(f"wrote {name}; next: `argosy check {name}`, then `argosy up {name}`\n")
