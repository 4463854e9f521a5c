"""The health check of a container: exit code 0 when every agent in it is ready.

`python -m argosy.image.runtime.healthcheck [--alive] [FLEET_FILE]`; with `--alive` the supervisor only has to
answer. Prints one line with the state or the error.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from argosy.engine.control.control_client import connect
from argosy.engine.protocol.messages import FleetStatus
from argosy.engine.protocol.state_machine import READY_STATES, State
from argosy.engine.state.state_dir import locate_state_dir
from argosy.fault import ArgosyError
from argosy.image.runtime.image_paths import FLEET_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Ask the supervisor of this container; return the exit code 0 or 1."""
    paths = [argument for argument in argv if argument != "--alive"]
    file = Path(paths[0] if paths else os.environ.get("ARGOSY_FLEET_FILE") or FLEET_FILE)
    try:
        client = connect(locate_state_dir(file), "healthcheck")
        if client is None:
            sys.stdout.write("no supervisor answers\n")
            return 1
        with client:
            report = client.fetch_status()
    except ArgosyError as error:
        sys.stdout.write(f"{error.faults[0].message}\n")
        return 1
    not_ready = [] if "--alive" in argv else agents_not_ready(report)
    sys.stdout.write(f"{', '.join(not_ready[:5])}\n" if not_ready else f"ok, {len(report.agents)} agents\n")
    return 1 if not_ready else 0


def agents_not_ready(report: FleetStatus) -> list[str]:
    """Return the agents that are not ready, each with its state; an agent that exited by itself is left out.

    A report without agents comes from a container that has started none yet.
    """
    if not report.agents:
        return ["no agent has been started"]
    return [
        f"{name} is {agent.state}"
        for name, agent in report.agents.items()
        if agent.state not in READY_STATES and agent.state is not State.EXITED
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
