"""Plan, build and push the images of a fleet: each has what its agents import, and nothing else.

  plan   show which agents share an image, which packages each has, and which line imports a package;
         needs no lock and no network
  lock   write `images.lock`: every Debian package and wheel, with version and digest; and for each
         machine a requirements file for pip with the wheels its agents need
  build  write an OCI layout, run each image (no network, own user, read-only), tag those that pass
  push   send the tagged images to a registry (`--to`); existing blobs are not sent again
  containerfile  print the plan of one image (`--only`) as a multi-stage Containerfile; a GPU group has
         the architecture of its machine as a build argument

example: argosy image build fleet.yaml --only core-services
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from argosy.cli.arguments import add_fleet, add_options, parse_fleet
from argosy.cli.console import print_result
from argosy.cli.render.image_view import (
    build_json,
    build_text,
    import_reasons_text,
    lock_json,
    lock_text,
    plan_json,
    plan_text,
    proposal_text,
    push_json,
    push_text,
)
from argosy.fault import Fault, InputError
from argosy.fleet import load_fleet
from argosy.fleet.quantities import format_names
from argosy.image.build.build_pipeline import BuildOptions, build_images, check_names, lock_images, lock_path
from argosy.image.build.build_record import LAYOUT_FOLDER
from argosy.image.build.image_size import measure_plan
from argosy.image.lock import read_lock
from argosy.image.manifests.containerfile import render_containerfile
from argosy.image.plan.container_plan import plan_containers
from argosy.image.plan.image_plan import ImagePlan, plan_images
from argosy.image.registry.push import push_images, read_layout_images
from argosy.image.registry.push_target import check_tag, parse_target


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy image`."""
    parser.add_argument("action", choices=list(_ACTIONS), metavar="|".join(_ACTIONS), help="what to do")
    add_fleet(parser)
    options = {
        "--package NAME": "with plan: show which agents import a package, and where",
        "--propose": "with plan: propose groups by what the agents import",
        "--only A,B": "with lock, build, push, containerfile: only these",
    }
    add_options(parser, options)
    parser.add_argument(
        "-o", dest="output_dir", metavar="DIR", help="with build, push: the layout (default: .argosy/images)"
    )
    parser.add_argument(
        "--tag", help="with build: the tag of images that pass (default: latest); with push: another tag"
    )
    options = {
        "--to HOST[:PORT][/PREFIX]": "with push: the registry",
        "--http": "with push: without TLS (always so on loopback addresses)",
        "--base LAYOUT[:NAME]": "with build: build on this image instead of a Debian base",
        "--gzip": "with build: gzip layers, for runtimes without zstd",
        "--no-smoke-test": "with build: run no image, and tag none",
    }
    add_options(parser, options)
    parser.add_argument("--no-proof", dest="no_smoke_test", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Run one action; returns 1 if a built image did not pass its smoke test.

    Raises InputError: an invalid fleet or lock, an unknown image or package. Raises MissingError: a program,
    an extra or a permission is missing. Raises RefusedError: a download or an upload was refused.
    """
    fleet_file, _ = parse_fleet(args)
    if args.tag is not None:
        check_tag(args.tag)
    return _ACTIONS[args.action](plan_images(load_fleet(fleet_file)), args)


def _plan(plan: ImagePlan, args: argparse.Namespace) -> int:
    if args.package and not args.as_json:
        print(import_reasons_text(plan, args.package))
        return 0
    measured = measure_plan(plan)
    render = proposal_text if args.propose else plan_text
    print_result(lambda: plan_json(plan, measured), lambda: render(plan, measured), as_json=args.as_json)
    return 0


def _lock(plan: ImagePlan, args: argparse.Namespace) -> int:
    locked = lock_images(plan, _selected_images(args))
    print_result(lambda: lock_json(locked), lambda: lock_text(locked), as_json=args.as_json)
    return 0


def _build(plan: ImagePlan, args: argparse.Namespace) -> int:
    build_request = BuildOptions(
        only=_selected_images(args),
        folder=Path(args.output_dir) if args.output_dir else None,
        tag=args.tag or "latest",
        compression="gzip" if args.gzip else "zstd",
        runs_smoke_test=not args.no_smoke_test,
        base_reference=args.base or "",
    )
    outcome = build_images(plan, build_request, _print_progress)
    print_result(lambda: build_json(outcome), lambda: build_text(outcome), as_json=args.as_json)
    return 1 if outcome.untagged else 0


def _push(plan: ImagePlan, args: argparse.Namespace) -> int:
    if not args.to:
        hint = "such as `--to registry.example:5000/team`"
        raise InputError(Fault("--to", "usage", "push needs a registry, found none", hint))
    target = parse_target(args.to, args.http)
    layout_dir = Path(args.output_dir) if args.output_dir else Path(plan.fleet.path).parent / LAYOUT_FOLDER
    images = read_layout_images(layout_dir, _selected_images(args))
    done = push_images(layout_dir, images, target, args.tag, _print_progress)
    print_result(lambda: push_json(done), lambda: push_text(done), as_json=args.as_json)
    return 0


def _containerfile(plan: ImagePlan, args: argparse.Namespace) -> int:
    only = _selected_images(args) or (tuple(plan.images) if len(plan.images) == 1 else ())
    if len(only) != 1:
        message = f"found {len(only)} names, expected one of {format_names(plan.images)}"
        raise InputError(Fault("--only", "usage", message))
    check_names(plan, only)
    path = lock_path(plan)
    text = render_containerfile(
        plan.images[only[0]], plan_containers(plan), read_lock(path) if path.exists() else None
    )
    result = {"argosy": "image-containerfile/1", "image": only[0], "text": text}
    print_result(lambda: result, lambda: text, as_json=args.as_json)
    return 0


def _print_progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _selected_images(args: argparse.Namespace) -> tuple[str, ...]:
    return tuple(args.only.split(",")) if args.only is not None else ()


_ACTIONS: Final[dict[str, Callable[[ImagePlan, argparse.Namespace], int]]] = {
    "plan": _plan,
    "lock": _lock,
    "build": _build,
    "push": _push,
    "containerfile": _containerfile,
}
