"""Which agents cannot start, by what `argosy check` knows of the commands that they run by.

As a program, for the supervisor, which reads no sources itself: `python -m argosy.engine.explain.startup_faults FLEET
COMMANDS`, with the command line of each agent in question as JSON, prints its findings as JSON.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from argosy.engine.explain.preflight import run_preflight
from argosy.engine.unit.process_plan import command_line
from argosy.fault import ArgosyError, Fault
from argosy.fleet.fleet_spec import Fleet
from argosy.fleet.loader import load_fleet


def find_startup_faults(
    fleet: Fleet, commands: Mapping[str, Sequence[str]], variables: Mapping[str, str]
) -> dict[str, Fault]:
    """Return what each of these agents stops at in every start; without those that may start.

    commands: the command line that each runs by. One that the fleet file would start by another command
    is passed over: what is wrong there is no flaw of what runs. variables: the environment that they
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
    """Print the flaws of these agents; nothing where the fleet file cannot be read."""
    path, commands = args
    os.chdir(os.path.dirname(path))  # files are named as from the fleet file's folder
    try:
        fleet = load_fleet(Path(path))
    except ArgosyError:
        return 2
    found = find_startup_faults(fleet, msgspec.json.decode(commands, type=dict[str, list[str]]), os.environ)
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
