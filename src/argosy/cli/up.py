"""Start what is not running, and apply a changed file.

Every agent starts in the instant its last need is ready. Ends when each is ready, or will not
come by itself any more. Without `-d` it then shows what changes until Ctrl-C stops the fleet.
What runs is not restarted for a changed file when `argosy check` knows that it could not start again.

example: argosy up -d --only Translator,Memory
"""

from __future__ import annotations

import math
import os
import signal
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, NoReturn

from argosy.cli.arguments import add_fleet, environment_name, take_fleet
from argosy.cli.report import print_json
from argosy.cli.up_code import refuse_flawed
from argosy.cli.upview import UpView
from argosy.engine.client import SupervisorLeftError, SupervisorLostError, connect_or_start
from argosy.engine.filemark import mark_of
from argosy.engine.folder import folder_of
from argosy.engine.imprint import leave_imprint, own_files
from argosy.engine.known import is_supervised, moved_from
from argosy.engine.limits import hard_open_files, unheld
from argosy.engine.messages import (
    Account,
    Apply,
    Changed,
    Difference,
    Sighted,
    Stop,
    Stopped,
    Subscribe,
)
from argosy.engine.silence import SupervisorSilentError
from argosy.extra import install_command
from argosy.fault import Fault, InputError, RefusedError
from argosy.fleet.environment import here, place
from argosy.fleet.load import load_fleet

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from argosy.engine.client import Client
    from argosy.engine.folder import Folder
    from argosy.fleet.placement import Placement
    from argosy.fleet.spec import Fleet

INTERRUPTED = 130
_END_WITHIN_S = 10.0

_HUB_PACKAGES = ("starlette", "uvicorn", "zstandard")


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
    parser.add_argument(
        "--anyway",
        action="store_true",
        help="restart also what runs and, as `argosy check` knows, cannot start again",
    )
    parser.add_argument("--machine", metavar="M", help="be this machine of the fleet")
    parser.add_argument(
        "--engine", choices=["local", "ray"], default="local", help="what sees to the supervisors"
    )
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
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    path, _ = take_fleet(args)
    if not 0 < args.timeout < math.inf:
        raise InputError(
            Fault("--timeout", "usage", f"{args.timeout} s is no time to wait", "give seconds above 0")
        )
    mark = mark_of(path)  # before it is read: who edits it meanwhile has changed it since
    fleet = load_fleet(path)
    variables = dict(os.environ)
    placement = place(fleet, environment_name(args), variables)
    here(placement, args.machine, variables)
    view = UpView(is_quiet=args.as_json)
    if args.engine == "ray":
        _host(fleet, placement, view)
    apply = Apply(
        fleet=fleet,
        environment=placement.environment,
        machine=args.machine,
        environ={name.decode(errors="replace"): value for name, value in os.environb.items()},
        only=args.only.split(",") if args.only else None,
        skip=_unstartable(fleet) if args.startable else {},
        timeout_s=args.timeout,
        hub=_wants_hub(args, view),
        file_digest=mark.digest if mark else "",
    )
    return _bring_up(path, fleet.name, apply, view, began, args)


def _host(fleet: Fleet, placement: Placement, view: UpView) -> None:
    """Have each machine's supervisor run on its node of the Ray cluster."""
    from argosy.engine.raycluster import host_fleet  # noqa: PLC0415 - for who has a cluster

    for hosted in host_fleet(fleet, placement):
        what = "started" if hosted.is_new else "is there already"
        view.say(
            f"machine {hosted.machine}: its supervisor {what} (pid {hosted.pid}, node {hosted.node[:8]})"
        )


def _wants_hub(args: argparse.Namespace, view: UpView) -> bool:
    """Return whether a hub is to run; says how to get one where it is not installed."""
    if args.no_hub or os.environ.get("ARGOSY_HUB") == "off":
        return False
    if all(map(find_spec, _HUB_PACKAGES)):
        return True
    how = install_command("hub")
    view.say(f"hint: no hub runs beside the fleet; `{how}`, or `--no-hub` and no hint")
    return False


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
    _refuse_moved(path, folder)
    tries = 2
    while True:
        tries -= 1
        try:
            with connect_or_start(path, fleet_name, folder, "up") as client:
                for fault in unheld(apply.fleet, hard_open_files(), client.welcome.held) if tries else ():
                    view.warn(fault)
                if not args.anyway:
                    refuse_flawed(client.report(), apply, folder)
                return _converse(client, apply, view, began, args)
        except SupervisorLeftError:
            raise
        except SupervisorLostError:
            if not tries:
                raise
            view.say("the supervisor ended; starting the next one, which adopts what runs")


def _refuse_moved(path: Path, folder: Folder) -> None:
    """Raise RefusedError where this very fleet runs from the place that its file was moved from."""
    before = None if is_supervised(folder) else moved_from(path, os.environ)
    if before is None:
        return
    raise RefusedError(
        Fault(
            str(path),
            "moved",
            f"this fleet runs already: as `{before.name}`, from `{before.path}`, moved or deleted since",
            f"`argosy down {before.name}` stops that, then `argosy up` starts it here",
        )
    )


def _converse(client: Client, apply: Apply, view: UpView, began: float, args: argparse.Namespace) -> int:
    """Apply, show, and follow; a Ctrl-C on the way stops what it should."""
    account = None
    changes: list[str] | None = None
    try:
        client.send(apply)
        while account is None:
            answer = view.next_answer(client)
            if isinstance(answer, Difference):
                changes = [*(changes or ()), *answer.start, *answer.restart]
                view.show_difference(answer)
            elif isinstance(answer, Changed):
                view.show_change(answer)
            elif isinstance(answer, Sighted):
                view.show_machine(answer)
            elif isinstance(answer, Account):
                account = answer
        _show_account(account, view, time.monotonic() - began, apply.fleet, args)
        _leave_imprint(apply.fleet)
        if not args.detach and account.ready:
            _follow(client, view)
    except KeyboardInterrupt:
        if args.detach and changes is None:
            changes = _hear_changes(client)
        names = changes if args.detach else None
        _stop(client, view, names)
        if not client.welcome.stays and not _is_anything_left(client):
            client.await_end(_END_WITHIN_S)
        return INTERRUPTED
    return 0 if set(account.not_ready) <= set(account.optional) and not account.interrupted else 1


def _show_account(
    account: Account, view: UpView, seconds: float, fleet: Fleet, args: argparse.Namespace
) -> None:
    if args.as_json:
        print_json(account_json(account, seconds))
    else:
        view.show_account(account, seconds, fleet)


def _leave_imprint(fleet: Fleet) -> None:
    """Remember the code that the agents run, for `restart --changed`; the account is out already."""
    root = os.path.dirname(fleet.path)
    named = [file for agent in fleet.agents.values() for file in own_files(agent, root)]
    leave_imprint(folder_of(fleet.path).imprint, root, named)


def _hear_changes(client: Client) -> list[str]:
    """Return what the apply that was just sent is about to start: no more than that may be stopped."""
    for answer in client.stream():
        if isinstance(answer, Difference):
            return [*answer.start, *answer.restart]
    raise SupervisorLostError


def _is_anything_left(client: Client) -> bool:
    """Return whether an agent still runs, so that the supervisor does too."""
    try:
        report = client.report()
    except SupervisorLostError:
        return False
    return bool(report.running())


def _follow(client: Client, view: UpView) -> None:
    """Show what changes until the supervisor ends or somebody interrupts."""
    client.send(Subscribe())
    view.say("the fleet is up; Ctrl-C stops it")
    is_told = False
    while True:
        try:
            _show_changes(client, view)
        except SupervisorLeftError as left:
            view.say(f"the supervisor was told to end; {left.running} agents run on")
            return
        except SupervisorSilentError as silent:  # whoever has stopped it may let it go on
            if not is_told:
                view.say(f"{silent.faults[0].message}; {silent.faults[0].hint}")
            is_told = True


def _show_changes(client: Client, view: UpView) -> NoReturn:
    """Show what changes, until an error says that no more will be told."""
    for answer in client.stream():
        if isinstance(answer, Changed):
            view.show_change(answer)
        elif isinstance(answer, Sighted):
            view.show_machine(answer)
    raise AssertionError("a stream ends by an error")


def _stop(client: Client, view: UpView, names: list[str] | None) -> None:
    """Stop in order; a second Ctrl-C kills."""
    view.say("stopping; Ctrl-C again kills")
    client.send(Stop(names=names))
    while True:
        try:
            for answer in client.stream():
                if isinstance(answer, Stopped):
                    view.show_stopped(answer, is_part=names is not None)
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
        "last_lines": account.last_lines,
        "adopted": account.adopted,
        "seconds": round(seconds, 4),
        "critical_path": [
            {"agent": step.agent, "started": round(step.started, 4), "ready": round(step.ready, 4)}
            for step in account.critical_path
        ],
        "critical_path_seconds": round(account.critical_path_seconds, 4),
        "hub_trouble": account.hub or None,
    }
