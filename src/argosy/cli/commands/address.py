"""Show the address that one agent gets for another, and where each part of it comes from.

AGENT may also be a service of the environment. Each line names the location in the file, the variable or
the rule that a part comes from.

example: argosy address Translator --from Responder --env production
"""

from __future__ import annotations

import argparse
import os

import msgspec

from argosy.cli.arguments import add_fleet, environment_name, parse_fleet
from argosy.cli.console import print_json
from argosy.fault import Fault, InputError
from argosy.fleet.address_lookup import AddressPart
from argosy.fleet.environments import place
from argosy.fleet.loader import load_fleet
from argosy.fleet.placement import Endpoint, Placement


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy address`."""
    add_fleet(parser, positionals="AGENT", positionals_help="the agent or service to look up")
    parser.add_argument("--from", dest="client", metavar="AGENT", help="the agent that connects to it")


def run(args: argparse.Namespace) -> int:
    """Print the endpoint and its reasons.

    Raises InputError: an invalid fleet, no such agent or service, or an address that no peer can use.
    """
    path, positionals = parse_fleet(args)
    if len(positionals) != 1:
        message = f"`argosy address` takes one agent, found {len(positionals)}"
        raise InputError(Fault("", "usage", message, "such as `argosy address Translator`"))
    fleet = load_fleet(path)
    placement = place(fleet, environment_name(args), os.environ)
    endpoint, reasons = _resolve(placement, positionals[0], args.client)
    reasons = (_environment_reason(args, placement.environment), *reasons)
    if args.as_json:
        print_json(
            {
                "argosy": "address/1",
                "agent": positionals[0],
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


def _environment_reason(args: argparse.Namespace, name: str) -> AddressPart:
    """Return where the name of the environment comes from."""
    if args.env:
        return AddressPart("environment", name, "option", "--env", f"`{name}`, by `--env`")
    if os.environ.get("ENV_TYPE"):
        return AddressPart("environment", name, "variable", "ENV_TYPE", f"$ENV_TYPE is {name}")
    return AddressPart("environment", name, "default", "", f"`{name}`, by default")


def _resolve(placement: Placement, name: str, client: str | None) -> tuple[Endpoint, tuple[AddressPart, ...]]:
    fleet = placement.lookup.fleet
    services = fleet.environments.get(placement.environment, {})
    machine = placement.machine_of(client) if client else None
    if name not in fleet.agents and name in services and name not in fleet.machines:
        return placement.endpoint_of_service(name), placement.explain_service(name)
    return placement.endpoint_of(name, machine), placement.explain_endpoint(name, machine)
