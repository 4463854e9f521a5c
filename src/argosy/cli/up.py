"""Start what is not running, and apply a changed file.

Every agent starts in the instant its last need is ready. Ends when each is ready, or will not
come by itself any more. Without `-d` it then shows what changes until Ctrl-C stops the fleet.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from argosy.cli.arguments import add_fleet, environment_name, take_fleet
from argosy.cli.report import print_json
from argosy.cli.upview import UpView
from argosy.engine.client import SupervisorLostError, connect_or_start
from argosy.engine.folder import folder_of
from argosy.engine.messages import Account, Apply, Changed, Difference, Stop, Stopped, Subscribe
from argosy.fault import Fault, InputError
from argosy.fleet.environment import here, place
from argosy.fleet.load import load_fleet

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from argosy.engine.client import Client
    from argosy.fleet.spec import Fleet

INTERRUPTED = 130


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy up`."""
    add_fleet(parser)
    parser.add_argument(
        "-d", "--detach", action="store_true", help="return when the fleet is up, leave it running"
    )
    parser.add_argument("--only", metavar="A,B", help="start these agents and what they need")
    parser.add_argument(
        "--startable", action="store_true", help="leave out what `argosy check` knows cannot start"
    )
    parser.add_argument("--machine", metavar="M", help="be this machine of the fleet")
    parser.add_argument("--engine", choices=["local"], default="local", help="what runs the agents")
    parser.add_argument(
        "--timeout",
        type=float,
        default=300.0,
        metavar="S",
        help="end the start after S seconds (default 300)",
    )
    parser.add_argument("--no-hub", action="store_true", help="start no observability hub")


def run(args: argparse.Namespace) -> int:
    """Bring the fleet up; returns 0 only when every required agent is ready."""
    began = time.monotonic()
    path, _ = take_fleet(args)
    if args.timeout <= 0:
        raise InputError(
            Fault("--timeout", "usage", f"{args.timeout} s is no time to wait", "give seconds above 0")
        )
    text = read_text(path)
    fleet = load_fleet(path, text)
    variables = dict(os.environ)
    placement = place(fleet, environment_name(args), variables)
    here(placement, args.machine, variables)
    apply = Apply(
        path=str(path),
        text=text,
        environment=placement.environment,
        machine=args.machine,
        environ=variables,
        only=args.only.split(",") if args.only else None,
        skip=_unstartable(fleet) if args.startable else {},
        timeout_s=args.timeout,
    )
    view = UpView(is_quiet=args.as_json)
    return _bring_up(path, fleet.name, apply, view, began, args)


def read_text(path: Path) -> str:
    """Return the text of a fleet file.

    Raises InputError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(Fault(str(path), "unreadable", f"the fleet file cannot be read: {error}")) from error


def _unstartable(fleet: Fleet) -> dict[str, str]:
    """Return what cannot start, by what is known beforehand, and what needs it, with the reason."""
    from argosy.engine.preflight import preflight  # noqa: PLC0415 - reads sources: for who asks only

    skip = dict(preflight(fleet).cannot_start)
    grown = True
    while grown:
        grown = False
        for agent in fleet.agents.values():
            missing = next((need.agent for need in agent.needs if need.agent in skip), None)
            if missing is not None and agent.name not in skip:
                skip[agent.name] = f"needs `{missing}`, which is left out"
                grown = True
    return skip


def _bring_up(
    path: Path, fleet_name: str, apply: Apply, view: UpView, began: float, args: argparse.Namespace
) -> int:
    folder = folder_of(path)
    tries = 2
    while True:
        tries -= 1
        with connect_or_start(path, fleet_name, folder, "up") as client:
            try:
                return _converse(client, apply, view, began, args)
            except SupervisorLostError:
                if not tries:
                    raise
                view.say("the supervisor ended; starting the next one, which adopts what runs")


def _converse(client: Client, apply: Apply, view: UpView, began: float, args: argparse.Namespace) -> int:
    """Apply, show, and follow; a Ctrl-C on the way stops what it should."""
    difference: Difference | None = None
    try:
        client.send(apply)
        while True:
            answer = view.next_answer(client)
            if isinstance(answer, Difference):
                difference = answer
                view.show_difference(answer)
            elif isinstance(answer, Changed):
                view.show_change(answer)
            elif isinstance(answer, Account):
                break
        seconds = time.monotonic() - began
        if args.as_json:
            print_json(account_json(answer, seconds))
        else:
            view.show_account(answer, seconds)
        code = 0 if set(answer.not_ready) <= set(answer.optional) and not answer.interrupted else 1
        if args.detach or not answer.ready:
            return code
        _follow(client, view)
    except KeyboardInterrupt:
        started = [*difference.start, *difference.restart] if args.detach and difference else None
        _stop(client, view, started)
    return INTERRUPTED


def _follow(client: Client, view: UpView) -> None:
    """Show what changes until the supervisor ends or somebody interrupts."""
    client.send(Subscribe())
    view.say("the fleet is up; Ctrl-C stops it")
    for answer in client.stream():
        if isinstance(answer, Changed):
            view.show_change(answer)


def _stop(client: Client, view: UpView, names: list[str] | None) -> None:
    """Stop in order; a second Ctrl-C kills."""
    view.say("stopping; Ctrl-C again kills")
    client.send(Stop(names=names))
    while True:
        try:
            for answer in client.stream():
                if isinstance(answer, Stopped):
                    view.show_stopped(answer)
                    return
                if isinstance(answer, Changed):
                    view.show_change(answer)
        except KeyboardInterrupt:
            client.send(Stop(names=names, is_kill=True))


def account_json(account: Account, seconds: float) -> dict[str, object]:
    """Return an account as `up/1`."""
    return {
        "argosy": "up/1",
        "declared": account.declared,
        "ready": account.ready,
        "degraded": account.degraded,
        "not_ready": account.not_ready,
        "left_out": account.left_out,
        "adopted": account.adopted,
        "seconds": round(seconds, 4),
        "critical_path": [
            {"agent": step.agent, "started": round(step.started, 4), "ready": round(step.ready, 4)}
            for step in account.critical_path
        ],
        "critical_path_seconds": round(account.critical_path_seconds, 4),
    }
