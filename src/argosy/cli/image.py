"""Plan and build the images of a fleet: what its agents really import, and nothing else.

`plan` reads the sources and says which agents share an image, which packages each holds, and which
line of which file drags one in. It needs no lock, no network and nothing installed.

example: argosy image plan fleet.yaml --package torch
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

from argosy.cli.arguments import add_fleet, take_fleet
from argosy.cli.image_view import plan_object, plan_text, why_text
from argosy.cli.report import print_json
from argosy.fleet import load_fleet
from argosy.image.plan import plan_images


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy image`."""
    parser.add_argument("action", choices=list(_ACTIONS), metavar="|".join(_ACTIONS), help="what to do")
    add_fleet(parser)
    parser.add_argument("--package", metavar="NAME", help="plan: tell who imports a package, and where")


def run(args: argparse.Namespace) -> int:
    """Carry out one of the actions; returns the exit code.

    Raises InputError: a fleet file with faults, or a package that nobody imports.
    """
    path, _ = take_fleet(args)
    args.path = path
    return _ACTIONS[args.action](args)


def _plan(args: argparse.Namespace) -> int:
    plan = plan_images(load_fleet(args.path))
    if args.as_json:
        print_json(plan_object(plan))
    else:
        print(why_text(plan, args.package) if args.package else plan_text(plan))
    return 0


_ACTIONS: Final[dict[str, Callable[[argparse.Namespace], int]]] = {"plan": _plan}
