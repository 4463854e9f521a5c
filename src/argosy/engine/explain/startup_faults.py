"""Finds agents that cannot start, by what `argosy check` knows of their commands.

Also a program, for the supervisor, which reads no sources itself: `python -m
argosy.engine.explain.startup_faults FLEET COMMANDS`, with the command line of each agent as JSON, prints
the faults as JSON.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from argosy.engine.explain.preflight import run_preflight
from argosy.engine.plan.process_plan import command_line
from argosy.fault import ArgosyError, Fault
from argosy.fleet.fleet_spec import Fleet
from argosy.fleet.loader import load_fleet


def find_startup_faults(
    fleet: Fleet, commands: Mapping[str, Sequence[str]], variables: Mapping[str, str]
) -> dict[str, Fault]:
    """Return the fault that prevents every start of each of these agents; without those that may start.

    commands: the command line of each running agent. An agent that the fleet file would start by another
    command is skipped: its faults are not those of the running one. variables: the environment that agents
    inherit.
    """
    root = Path(fleet.path).parent
    names = [
        name
        for name, command in commands.items()
        if name in fleet.agents and command_line(fleet.agents[name], root) == tuple(command)
    ]
    return run_preflight(fleet, variables=variables, agent_names=names).blocking_faults if names else {}


def main(args: Sequence[str]) -> int:
    """Print the faults of these agents; nothing when the fleet file cannot be read."""
    path, commands = args
    os.chdir(os.path.dirname(path))  # paths are relative to the fleet file's directory
    try:
        fleet = load_fleet(Path(path))
    except ArgosyError:
        return 2
    found = find_startup_faults(fleet, msgspec.json.decode(commands, type=dict[str, list[str]]), os.environ)
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
