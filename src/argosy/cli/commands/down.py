"""Stop the fleet, or some of its agents, in reverse order of their needs.

Returns when no process is left. A process that exceeds its stop time-out is killed; one that survives
this is reported. Agents that a dead supervisor left running are found by their leases and stopped, and
so are processes that exited agents left behind. A fleet whose folder was moved or deleted can be given
by the name or ID that `argosy ls` shows.

example: argosy down --only Translator
example: argosy down harbour

"""

from __future__ import annotations

import argparse
import time

import msgspec

from argosy.cli.arguments import add_fleet
from argosy.cli.console import print_json, print_reasons
from argosy.cli.fleet_selection import SelectedFleet, select_fleet
from argosy.engine.control.control_client import (
    ControlClient,
    SupervisorLostError,
    SupervisorStoppedError,
    connect,
)
from argosy.engine.inventory.leftover_processes import find_leftovers, running_agents
from argosy.engine.protocol.messages import Stop, Stopped
from argosy.engine.state.state_dir import StateDir
from argosy.engine.supervisor.connect_or_start import connect_or_start
from argosy.engine.supervisor.hub_process import is_hub_running

_SHUTDOWN_TIMEOUT_S = 10.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy down`."""
    add_fleet(parser, allow_name=True)
    parser.add_argument("--only", metavar="A,B", help="stop only these agents")


def run(args: argparse.Namespace) -> int:
    """Stop the agents; returns 1 if a process is left or a machine could not be reached, else 0."""
    started_at = time.monotonic()
    chosen, _ = select_fleet(args)
    stopped = _stop_fleet(chosen, args.only.split(",") if args.only else None)
    seconds = time.monotonic() - started_at
    if args.as_json:
        print_json(
            {
                "argosy": "down/1",
                "stopped": stopped.stopped,
                "killed": stopped.killed,
                "unreached": stopped.unreachable,
                "left": stopped.still_running,
                "seconds": round(seconds, 4),
            }
        )
        return _exit_code(stopped)
    print_reasons("still running", "red", stopped.still_running)
    print_reasons("not reached", "red", {f"machine {name}": why for name, why in stopped.unreachable.items()})
    if not stopped.stopped:
        print("nothing was running")
    else:
        killed = f", {len(stopped.killed)} killed after the stop time-out: {', '.join(stopped.killed)}"
        print(f"{len(stopped.stopped)} stopped in {seconds:.2f} s" + (killed if stopped.killed else ""))
    return _exit_code(stopped)


def _exit_code(stopped: Stopped) -> int:
    return 1 if stopped.unreachable or stopped.still_running else 0


def _stop_fleet(chosen: SelectedFleet, names: list[str] | None) -> Stopped:
    """Stop these agents, or all; retry once with a new supervisor if the supervisor dies."""
    state_dir = chosen.state_dir
    was_running: set[str] = set()
    is_retry = False
    while True:
        try:
            client = connect(state_dir, "down")
            if client is None and _has_leftovers(state_dir):
                client = connect_or_start(chosen.path, chosen.name, state_dir, "down")
            if client is None:
                return Stopped(stopped=sorted(was_running), killed=[], seconds=0.0)
            with client:
                running = set(client.fetch_status().running())
                before = sorted(was_running - running)
                was_running = running
                stopped = _stop(client, names)
            return msgspec.structs.replace(stopped, stopped=[*before, *stopped.stopped])
        except SupervisorStoppedError:
            raise
        except SupervisorLostError:
            if is_retry:
                raise
            is_retry = True


def _has_leftovers(state_dir: StateDir) -> bool:
    running = running_agents(state_dir)
    return bool(running or find_leftovers(state_dir, running) or is_hub_running(state_dir))


def _stop(client: ControlClient, names: list[str] | None) -> Stopped:
    """Stop; without `names` also wait until the supervisor and its fork server have exited."""
    client.send(Stop(names=names))
    while True:
        try:
            answer = client.receive(None)
        except KeyboardInterrupt:
            client.send(Stop(names=names, force=True))
            continue
        if isinstance(answer, Stopped):
            break
    if names is None and not client.welcome.is_persistent and not answer.still_running:
        client.wait_exit(_SHUTDOWN_TIMEOUT_S)
    return answer
