"""Tell the address that one agent gets for another, and where each part of it came from.

AGENT may be a service of the environment too. Each line names the place in the file, the
variable, or the rule that gave the part.

example: argosy address Translator --from Responder --env production
"""

from __future__ import annotations

import argparse
import os

import msgspec

from argosy.cli.arguments import add_fleet, environment_name, take_fleet
from argosy.cli.report import print_json
from argosy.fault import Fault, InputError
from argosy.fleet.environment import place
from argosy.fleet.load import load_fleet
from argosy.fleet.lookup import Reason
from argosy.fleet.placement import Endpoint, Placement


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy address`."""
    add_fleet(parser, words="AGENT", words_help="the agent or service that is asked for")
    parser.add_argument("--from", dest="asker", metavar="AGENT", help="the agent that connects to it")


def run(args: argparse.Namespace) -> int:
    """Print the endpoint and its reasons.

    Raises InputError: a faulty fleet, no such agent or service, or an address that no peer can use.
    """
    path, words = take_fleet(args)
    if len(words) != 1:
        message = f"`argosy address` takes one agent, found {len(words)}"
        raise InputError(Fault("", "usage", message, "such as `argosy address Translator`"))
    fleet = load_fleet(path)
    placement = place(fleet, environment_name(args), os.environ)
    endpoint, reasons = _answer(placement, words[0], args.asker)
    reasons = (_environment_reason(args, placement.environment), *reasons)
    if args.as_json:
        print_json(
            {
                "argosy": "address/1",
                "agent": words[0],
                "environment": placement.environment,
                "endpoint": endpoint.url,
                "because": [msgspec.to_builtins(reason) for reason in reasons],
            }
        )
        return 0
    print(endpoint.url)
    for reason in reasons:
        print(f"  {reason.part:<11}  {reason.text}")
    return 0


def _environment_reason(args: argparse.Namespace, name: str) -> Reason:
    """Return where the choice of the environment came from."""
    if args.env:
        return Reason("environment", name, "option", "--env", f"`{name}`, by `--env`")
    if os.environ.get("ENV_TYPE"):
        return Reason("environment", name, "variable", "ENV_TYPE", f"$ENV_TYPE is {name}")
    return Reason("environment", name, "default", "", f"`{name}`, by default")


def _answer(placement: Placement, name: str, asker: str | None) -> tuple[Endpoint, tuple[Reason, ...]]:
    fleet = placement.lookup.fleet
    services = fleet.environments.get(placement.environment, {})
    machine = placement.machine_of(asker) if asker else None
    if name not in fleet.agents and name in services and name not in fleet.machines:
        return placement.service(name), placement.service_because(name)
    return placement.connect(name, machine), placement.because(name, machine)
