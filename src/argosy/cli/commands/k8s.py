"""Print Kubernetes manifests of the fleet: Deployments, Services, NetworkPolicies, a ConfigMap.

Needs no built image. Nodes are selected by the label `argosy.machine`. Values that look secret are read
from the Secret `FLEET-secrets`, which you create: `kubectl create secret generic`.

example: argosy k8s fleet.yaml | kubectl apply -f -
"""

from __future__ import annotations

import argparse

from argosy.cli.arguments import add_fleet, parse_fleet
from argosy.cli.console import print_result
from argosy.fault import RefusedError
from argosy.fleet import load_fleet
from argosy.image.manifests.kubernetes import build_manifests, render_manifests
from argosy.image.manifests.manifest_validation import check_manifests
from argosy.image.plan.container_plan import plan_containers
from argosy.image.plan.image_plan import plan_images


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy k8s`."""
    add_fleet(parser)


def run(args: argparse.Namespace) -> int:
    """Print the manifests; returns 0. Raises InputError or RefusedError: the plan cannot be made."""
    path, _ = parse_fleet(args)
    containers = plan_containers(plan_images(load_fleet(path)))
    document = build_manifests(containers)
    if faults := check_manifests(document):
        raise RefusedError(*faults)
    print_result(
        lambda: {"argosy": "k8s/1", "items": document},
        lambda: render_manifests(containers),
        as_json=args.as_json,
    )
    return 0
