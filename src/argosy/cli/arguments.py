"""The arguments that many commands share: fleet, environment, JSON output."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping
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
    options = {
        "--fleet PATH": f"FLEET, for any form of path{named if positionals else ''}",
        "--env NAME": "the environment (default: $ENV_TYPE, else development)",
    }
    add_options(parser, options)
    add_json(parser)
    parser.set_defaults(takes_positionals=bool(positionals))


def add_options(parser: argparse.ArgumentParser, options: Mapping[str, str]) -> None:
    """Add options, each written as its help shows it, with its description.

    `--apply` is a flag, `-o, --output FILE` takes a value, and `--exclude GLOB...` takes one each time and
    collects them in a list.
    """
    for usage, text in options.items():
        *short, long = usage.split(", ")
        name, _, metavar = long.partition(" ")
        if not metavar:
            parser.add_argument(*short, name, action="store_true", help=text)
        elif metavar.endswith("..."):
            value = metavar.removesuffix("...")
            parser.add_argument(*short, name, metavar=value, action="append", default=[], help=text)
        else:
            parser.add_argument(*short, name, metavar=metavar, help=text)


def add_path(parser: argparse.ArgumentParser, description: str, metavar: str = "PATH") -> None:
    """Add an optional positional `path`; the default is the working folder."""
    parser.add_argument("path", nargs="?", default=".", metavar=metavar, help=description)


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
        word, hint = positionals[0], "a fleet is recognised by a `/`, the ending .yaml, or `.`"
        is_folder = os.path.isfile(os.path.join(word, FLEET_FILE))
        hint += f": `{word}/`" if is_folder else f"; else `--fleet {word}`"
        raise InputError(Fault(word, "usage", f"unexpected argument `{word}`", hint))
    return chosen, positionals


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
        hint = "`argosy init FOLDER` creates one; `argosy import PATH -o fleet.yaml` writes one from existing"
        raise InputError(Fault(chosen, "no-fleet", f"there is no file `{path}`", f"{hint} code"))
    return path.absolute()


def _find_upward(start: Path) -> Path:
    for directory in (start, *start.parents):
        if (directory / FLEET_FILE).is_file():
            return directory / FLEET_FILE
    hint = (
        "`argosy init` creates one here, `argosy import PATH -o fleet.yaml` writes one from existing code, "
        "`path/to/fleet.yaml` selects one elsewhere"
    )
    message = f"no `{FLEET_FILE}` in this folder or a parent of it"
    raise InputError(Fault(str(start), "no-fleet", message, hint))


def fleet_of_tree(root: Path, chosen: str | None) -> Path | None:
    """Return the fleet file that `chosen` names, else the one at the root of a tree, None without one."""
    path = Path(chosen) if chosen else root / FLEET_FILE
    if chosen is None and not path.is_file():
        return None
    return path / FLEET_FILE if path.is_dir() else path


def split_codes(option: str | None) -> tuple[str, ...]:
    """Return the codes of `--select A,B`, in capitals."""
    return tuple(filter(None, re.split(r"[,\s]+", (option or "").upper())))


def environment_name(args: argparse.Namespace) -> str:
    """Return the environment that `--env` or ENV_TYPE selects, else `development`."""
    return args.env or os.environ.get("ENV_TYPE") or "development"
