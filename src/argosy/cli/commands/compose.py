"""Print a Compose file of the fleet: one service for each image, started when its needs are healthy.

Needs no built image. If two groups need each other, they are split into stages, each a service of the
same image. Values that look secret are read from the environment of Compose.

example: argosy compose fleet.yaml > compose.yaml

"""

from __future__ import annotations

import argparse

from argosy.cli.arguments import add_fleet, parse_fleet
from argosy.cli.console import print_result
from argosy.fault import RefusedError
from argosy.fleet import load_fleet
from argosy.image.manifests.compose_file import build_compose, render_compose
from argosy.image.manifests.manifest_validation import check_compose
from argosy.image.plan.container_plan import plan_containers
from argosy.image.plan.image_plan import plan_images


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy compose`."""
    add_fleet(parser)


def run(args: argparse.Namespace) -> int:
    """Print the file; returns 0. Raises InputError or RefusedError: the plan cannot be made."""
    path, _ = parse_fleet(args)
    containers = plan_containers(plan_images(load_fleet(path)))
    document = build_compose(containers)
    if faults := check_compose(document):
        raise RefusedError(*faults)
    print_result(
        lambda: {"argosy": "compose/1", **document}, lambda: render_compose(containers), as_json=args.as_json
    )
    return 0
