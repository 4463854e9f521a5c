"""Stop the fleet, or some of its agents, in reverse order of their needs.

Returns when no process is left; what outlives its grace is killed, and named where not even that ends
it. What a dead supervisor left running is found by its leases and stopped too, and what agents left
that have ended since. A fleet whose folder was moved or deleted is stopped by its name or its ID, as
`argosy ls` shows them.

example: argosy down --only Translator
example: argosy down harbour
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from argosy.cli.arguments import add_fleet
from argosy.cli.chosen import take_chosen
from argosy.cli.report import paint, print_json
from argosy.engine.client import SupervisorLeftError, SupervisorLostError, connect, connect_or_start
from argosy.engine.companion import living_hub
from argosy.engine.messages import Stop, Stopped
from argosy.engine.remains import living_agents, remnants

if TYPE_CHECKING:
    import argparse

    from argosy.cli.chosen import Chosen
    from argosy.engine.client import Client
    from argosy.engine.folder import Folder

_END_WITHIN_S = 10.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy down`."""
    add_fleet(parser, takes_name=True)
    parser.add_argument("--only", metavar="A,B", help="stop these agents and leave the others running")


def run(args: argparse.Namespace) -> int:
    """Stop what runs; returns 0 when nothing is left, 1 when something is or a machine was not told."""
    began = time.monotonic()
    chosen, _ = take_chosen(args)
    stopped = _bring_down(chosen, args.only.split(",") if args.only else None)
    seconds = time.monotonic() - began
    if args.as_json:
        print_json(
            {
                "argosy": "down/1",
                "stopped": stopped.stopped,
                "killed": stopped.killed,
                "unreached": stopped.unreached,
                "left": stopped.left,
                "seconds": round(seconds, 4),
            }
        )
        return _code(stopped)
    for name, why in stopped.left.items():
        print(f"{paint('still there', 'red')}  {name}: {why}")
    for machine, why in stopped.unreached.items():
        print(f"{paint('not told', 'red')}  machine {machine}: {why}")
    if not stopped.stopped:
        print("nothing was running")
    else:
        killed = f", {len(stopped.killed)} killed after their grace: {', '.join(stopped.killed)}"
        print(f"{len(stopped.stopped)} stopped in {seconds:.2f} s" + (killed if stopped.killed else ""))
    return _code(stopped)


def _code(stopped: Stopped) -> int:
    return 1 if stopped.unreached or stopped.left else 0


def _bring_down(chosen: Chosen, names: list[str] | None) -> Stopped:
    """Stop these, or all; once more, by the next supervisor, when one dies over it."""
    folder = chosen.folder
    ran: set[str] = set()
    is_again = False
    while True:
        try:
            client = connect(folder, "down")
            if client is None and _is_anything_left(folder):
                client = connect_or_start(chosen.path, chosen.name, folder, "down")
            if client is None:
                return Stopped(stopped=sorted(ran), killed=[], seconds=0.0)
            with client:
                run_now = set(client.report().running())
                before = sorted(ran - run_now)
                ran = run_now
                told = _stop(client, names)
            return msgspec.structs.replace(told, stopped=[*before, *told.stopped])
        except SupervisorLeftError:
            raise
        except SupervisorLostError:
            if is_again:
                raise
            is_again = True


def _is_anything_left(folder: Folder) -> bool:
    living = living_agents(folder)
    return bool(living or remnants(folder, living) or living_hub(folder))


def _stop(client: Client, names: list[str] | None) -> Stopped:
    """Stop; without `names` also wait until a supervisor that goes is gone, and its forker with it."""
    client.send(Stop(names=names))
    while True:
        try:
            answer = client.receive(None)
        except KeyboardInterrupt:
            client.send(Stop(names=names, is_kill=True))
            continue
        if isinstance(answer, Stopped):
            break
    if names is None and not client.welcome.stays and not answer.left:
        client.await_end(_END_WITHIN_S)
    return answer
