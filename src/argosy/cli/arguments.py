"""The arguments that many commands share: fleet, environment, JSON output."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from argosy.fault import Fault, InputError

FLEET_FILE = "fleet.yaml"


def add_fleet(
    parser: argparse.ArgumentParser,
    *,
    positionals: str | None = None,
    positionals_help: str = "",
    allow_name: bool = False,
) -> None:
    """Add FLEET, `--fleet`, `--env` and `--json`.

    positionals: the positionals after FLEET as the usage shows them; positionals_help: their help.
    allow_name: the fleet may also be given by its name or ID.
    """
    named = ", or the name or ID that `argosy ls` shows" if allow_name else ""
    parser.add_argument(
        "positionals",
        nargs="*",
        default=[],  # else argparse treats it as required
        metavar=f"FLEET {positionals}" if positionals else "FLEET",
        help="a fleet.yaml or a folder with one; recognised by a `/`, the ending .yaml, or `.` ("
        "default: the one in this folder or a parent)"
        + ("" if positionals else named)
        + (f"\n{positionals_help}" if positionals else ""),
    )
    parser.add_argument(
        "--fleet", metavar="PATH", help=f"FLEET, for any form of path{named if positionals else ''}"
    )
    parser.add_argument(
        "--env", metavar="NAME", help="the environment (default: $ENV_TYPE, else development)"
    )
    add_json(parser)
    parser.set_defaults(takes_positionals=bool(positionals))


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")


def parse_fleet(args: argparse.Namespace) -> tuple[Path, list[str]]:
    """Return the absolute path of the fleet file and the other positionals.

    Raises InputError: there is no such file, or the command does not take a positional.
    """
    chosen, positionals = split_fleet(args)
    return find_fleet(chosen), positionals


def split_fleet(args: argparse.Namespace, *, allow_name: bool = False) -> tuple[str | None, list[str]]:
    """Return the fleet argument, None if there is none, and the other positionals.

    allow_name: if the command takes no other positionals, any word names a fleet.
    Raises InputError: the fleet is given twice, or the command does not take a positional.
    """
    positionals: list[str] = list(args.positionals)
    chosen: str | None = args.fleet
    allow_any = allow_name and not args.takes_positionals and chosen is None
    if positionals and (allow_any or looks_like_fleet(positionals[0])):
        path = positionals.pop(0)
        if chosen is not None:
            raise InputError(Fault("--fleet", "usage", f"the fleet is given twice: `{path}` and `{chosen}`"))
        chosen = path
    if positionals and not args.takes_positionals:
        raise InputError(
            Fault(
                positionals[0],
                "usage",
                f"unexpected argument `{positionals[0]}`",
                _usage_hint(positionals[0]),
            )
        )
    return chosen, positionals


def _usage_hint(argument: str) -> str:
    """Return how to write `argument` so that it names a fleet."""
    rule = "a fleet is recognised by a `/`, the ending .yaml, or `.`"
    if os.path.isfile(os.path.join(argument, FLEET_FILE)):
        return f"{rule}: `{argument}/`"
    return f"{rule}; else `--fleet {argument}`"


def looks_like_fleet(argument: str) -> bool:
    """Return whether a positional names a fleet: it has a `/`, ends in .yaml or .yml, or is `.`."""
    return "/" in argument or argument.endswith((".yaml", ".yml")) or argument == "."


def find_fleet(chosen: str | None) -> Path:
    """Return the absolute path of the fleet file at `chosen`; None searches this folder and its parents.

    Raises InputError: there is none, or the path cannot be accessed.
    """
    try:
        return _fleet_file_at(chosen) if chosen is not None else _find_upward(Path.cwd())
    except OSError as error:  # pathlib ignores only missing files
        where = str(error.filename or chosen or os.curdir)
        reason = (error.strerror or type(error).__name__).lower()
        message = f"`{where}` cannot be accessed: {reason}"
        hint = "`namei -l` shows the permissions of each folder in it; `--fleet PATH` selects another file"
        raise InputError(Fault(chosen or where, "unreadable", message, hint)) from error


def _fleet_file_at(chosen: str) -> Path:
    path = Path(os.path.expanduser(chosen))
    if path.is_dir():
        path = path / FLEET_FILE
    if not path.exists():
        raise InputError(
            Fault(
                chosen,
                "no-fleet",
                f"there is no file `{path}`",
                "`argosy init FOLDER` creates one; "
                "`argosy import PATH -o fleet.yaml` writes one from existing code",
            )
        )
    return path.absolute()


def _find_upward(start: Path) -> Path:
    for directory in (start, *start.parents):
        if (directory / FLEET_FILE).is_file():
            return directory / FLEET_FILE
    raise InputError(
        Fault(
            str(start),
            "no-fleet",
            f"no `{FLEET_FILE}` in this folder or a parent of it",
            "`argosy init` creates one here, `argosy import PATH -o fleet.yaml` writes one from existing "
            "code, `path/to/fleet.yaml` selects one elsewhere",
        )
    )


def environment_name(args: argparse.Namespace) -> str:
    """Return the environment that `--env` or ENV_TYPE selects, else `development`."""
    return args.env or os.environ.get("ENV_TYPE") or "development"
