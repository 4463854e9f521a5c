"""The arguments that many verbs share: which fleet, which environment, JSON or text."""

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

    words: the further positionals as usage shows them (agents, a method); words_help: what they are.
    takes_name: the fleet may also be named as `argosy ls` does.
    """
    named = ", or its name or ID as `argosy ls` shows it" if allow_name else ""
    parser.add_argument(
        "words",
        nargs="*",
        default=[],  # else argparse counts it among what is required
        metavar=f"FLEET {positionals}" if positionals else "FLEET",
        help="a fleet.yaml or a folder that holds one (with a `/`, ending in .yaml, or `.`; "
        "default: this folder or a parent)"
        + ("" if positionals else named)
        + (f"\n{positionals_help}" if positionals else ""),
    )
    parser.add_argument(
        "--fleet", metavar="PATH", help=f"FLEET, whatever the path looks like{named if positionals else ''}"
    )
    parser.add_argument(
        "--env", metavar="NAME", help="the environment (default: $ENV_TYPE, else development)"
    )
    add_json(parser)
    parser.set_defaults(takes_words=bool(positionals))


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")


def parse_fleet(args: argparse.Namespace) -> tuple[Path, list[str]]:
    """Return the absolute path of the fleet file and the words that are left.

    Raises InputError: no file there, or a word that the verb does not take.
    """
    chosen, positionals = split_fleet(args)
    return find_fleet(chosen), positionals


def split_fleet(args: argparse.Namespace, *, allow_name: bool = False) -> tuple[str | None, list[str]]:
    """Return what names the fleet, None where nothing does, and the words that are left.

    takes_name: where the verb takes no other words, any word names a fleet.
    Raises InputError: a fleet is named twice, or a word that the verb does not take.
    """
    positionals: list[str] = list(args.words)
    chosen: str | None = args.fleet
    allow_any = allow_name and not args.takes_words and chosen is None
    if positionals and (allow_any or looks_like_fleet(positionals[0])):
        path = positionals.pop(0)
        if chosen is not None:
            raise InputError(Fault("--fleet", "usage", f"the fleet is named twice: `{path}` and `{chosen}`"))
        chosen = path
    if positionals and not args.takes_words:
        raise InputError(
            Fault(
                positionals[0],
                "usage",
                f"`{positionals[0]}` is not understood here",
                _usage_hint(positionals[0]),
            )
        )
    return chosen, positionals


def _usage_hint(argument: str) -> str:
    """Return how a word would be taken as a fleet."""
    rule = "a fleet is taken as one when it has a `/`, ends in .yaml, or is `.`"
    if os.path.isfile(os.path.join(argument, FLEET_FILE)):
        return f"{rule}: `{argument}/`"
    return f"{rule}; else `--fleet {argument}`"


def looks_like_fleet(argument: str) -> bool:
    """Return whether a positional names a fleet: it has a `/`, ends in .yaml, or is `.`."""
    return "/" in argument or argument.endswith((".yaml", ".yml")) or argument == "."


def find_fleet(chosen: str | None) -> Path:
    """Return the absolute path of the fleet file that `chosen`, or this folder or a parent, holds.

    Raises InputError: there is none, or the way to it cannot be looked at.
    """
    try:
        return _fleet_file_at(chosen) if chosen is not None else _find_upward(Path.cwd())
    except OSError as error:  # pathlib passes over what is missing, and over nothing else
        where = str(error.filename or chosen or os.curdir)
        reason = (error.strerror or type(error).__name__).lower()
        message = f"`{where}` cannot be looked at: {reason}"
        hint = "`namei -l` on it shows who may pass each folder of the way; `--fleet PATH` names another file"
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
                "`argosy init FOLDER` begins one; `argosy import PATH -o fleet.yaml` writes one of old code",
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
            "`argosy init` begins one here, `argosy import PATH -o fleet.yaml` writes one of old code; "
            "one elsewhere is named as `path/to/fleet.yaml`",
        )
    )


def environment_name(args: argparse.Namespace) -> str:
    """Return the environment that `--env` or ENV_TYPE chooses."""
    return args.env or os.environ.get("ENV_TYPE") or "development"
