"""Start the fleet, or apply a changed fleet file.

Each agent starts as soon as its last need is ready. The start ends when every agent is ready, given up
or blocked. With `-d` the command then returns; without it, it shows changes until Ctrl-C stops the
fleet. A changed file does not restart a running agent that, according to `argosy check`, could not
start again.

example: argosy up -d --only Translator,Memory

"""

from __future__ import annotations

import argparse
import math
import os
import signal
import time
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from argosy.cli.arguments import add_fleet, add_options, environment_name, parse_fleet
from argosy.cli.commands.startability_guard import refuse_unstartable
from argosy.cli.console import EXIT_INTERRUPTED, print_json
from argosy.cli.render.up_view import UpView
from argosy.engine.control.control_client import (
    ControlClient,
    SupervisorLostError,
    SupervisorStoppedError,
    SupervisorUnresponsiveError,
)
from argosy.engine.inventory.known_fleets import find_moved_fleet, has_supervisor
from argosy.engine.process.resource_limits import hard_open_files_limit, unenforced_limits
from argosy.engine.protocol.messages import (
    AgentStateChanged,
    Apply,
    ApplyPreview,
    ApplySummary,
    ControlReply,
    MachineStatusChanged,
    Stop,
    Stopped,
    Subscribe,
)
from argosy.engine.state.file_identity import identify_file
from argosy.engine.state.source_snapshot import list_entry_files, update_source_snapshot
from argosy.engine.state.state_dir import StateDir, locate_state_dir
from argosy.engine.supervisor.connect_or_start import connect_or_start
from argosy.extra import install_command
from argosy.fault import Fault, InputError, RefusedError
from argosy.fleet.environments import local_machines, place
from argosy.fleet.fleet_spec import Fleet
from argosy.fleet.loader import load_fleet
from argosy.fleet.placement import Placement

_SHUTDOWN_TIMEOUT_S = 10.0

_HUB_PACKAGES = ("starlette", "uvicorn", "zstandard")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy up`."""
    add_fleet(parser)
    options = {
        "-d, --detach": "return when the start has ended, and leave the fleet running",
        "--only A,B": "start only these agents and their needs",
        "--startable": "leave out agents that cannot start according to `argosy check`",
        "--anyway": "also restart running agents that cannot start again according to `argosy check`",
        "--machine M": "the machine of the fleet that this host is",
    }
    add_options(parser, options)
    parser.add_argument(
        "--engine", choices=["local", "ray"], default="local", help="how the supervisors are launched"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=300.0,
        metavar="S",
        help="end the start after S seconds (default 300)",
    )
    parser.add_argument("--no-hub", action="store_true", help="do not start the observability hub")


def run(args: argparse.Namespace) -> int:
    """Start the fleet; returns 0 only if every required agent is ready."""
    started_at = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    path, _ = parse_fleet(args)
    if not 0 < args.timeout < math.inf:
        message = f"found {args.timeout} s, expected a positive number of seconds"
        raise InputError(Fault("--timeout", "usage", message))
    file_mark = identify_file(path)  # before reading: an edit in between counts as a later change
    fleet = load_fleet(path)
    variables = dict(os.environ)
    placement = place(fleet, environment_name(args), variables)
    local_machines(placement, args.machine, variables)
    view = UpView(is_quiet=args.as_json)
    if args.engine == "ray":
        _host_on_ray(fleet, placement, view)
    apply = Apply(
        fleet=fleet,
        environment=placement.environment,
        machine=args.machine,
        environ={name.decode(errors="replace"): value for name, value in os.environb.items()},
        only=args.only.split(",") if args.only else None,
        skip=_agents_that_cannot_start(fleet) if args.startable else {},
        timeout_s=args.timeout,
        hub=_should_start_hub(args, view),
        file_digest=file_mark.digest if file_mark else "",
    )
    return _apply_with_retry(path, fleet.name, apply, view, started_at, args)


def _host_on_ray(fleet: Fleet, placement: Placement, view: UpView) -> None:
    """Start each machine's supervisor on its node of the Ray cluster."""
    from argosy.engine.deploy.ray_cluster import start_supervisors_on_ray  # noqa: PLC0415 - needs Ray

    for hosted in start_supervisors_on_ray(fleet, placement):
        action = "was started" if hosted.is_new else "was running already"
        where = f"(pid {hosted.pid}, node {hosted.node[:8]})"
        view.print_line(f"machine {hosted.machine}: its supervisor {action} {where}")


def _should_start_hub(args: argparse.Namespace, view: UpView) -> bool:
    """Return whether to start a hub; prints how to install it if it is not installed."""
    if args.no_hub or os.environ.get("ARGOSY_HUB") == "off":
        return False
    if all(map(find_spec, _HUB_PACKAGES)):
        return True
    command = install_command("hub")
    view.print_line(f"hint: the hub is not installed; `{command}` installs it, `--no-hub` omits this hint")
    return False


def _agents_that_cannot_start(fleet: Fleet) -> dict[str, str]:
    """Return the agents that cannot start, and those that need them, each with the reason."""
    from argosy.engine.explain.preflight import run_preflight  # noqa: PLC0415 - slow to import

    skip = dict(run_preflight(fleet).start_obstacles)
    changed = True
    while changed:
        changed = False
        for agent in fleet.agents.values():
            missing = next((need.agent for need in agent.needs if need.agent in skip), None)
            if missing is not None and agent.name not in skip:
                skip[agent.name] = f"needs `{missing}`, which is left out"
                changed = True
    return skip


def _apply_with_retry(
    path: Path, fleet_name: str, apply: Apply, view: UpView, started_at: float, args: argparse.Namespace
) -> int:
    state_dir = locate_state_dir(path)
    _refuse_if_moved(path, state_dir)
    attempts_left = 2
    while True:
        attempts_left -= 1
        try:
            with connect_or_start(path, fleet_name, state_dir, "up") as client:
                for fault in (
                    unenforced_limits(apply.fleet, hard_open_files_limit(), client.welcome.enforced_limits)
                    if attempts_left
                    else ()
                ):
                    view.warn(fault)
                if not args.anyway:
                    refuse_unstartable(client.fetch_status(), apply, state_dir)
                return _apply_and_follow(client, apply, view, started_at, args)
        except SupervisorStoppedError:
            raise
        except SupervisorLostError:
            if not attempts_left:
                raise
            view.print_line("the supervisor exited; starting another, which adopts the running agents")


def _refuse_if_moved(path: Path, state_dir: StateDir) -> None:
    """Raise RefusedError if this fleet runs from the path that its file was moved from."""
    previous = None if has_supervisor(state_dir) else find_moved_fleet(path, os.environ)
    if previous is None:
        return
    message = f"this fleet already runs as `{previous.name}` from `{previous.path}`, moved or deleted since"
    hint = f"`argosy down {previous.name}` stops that, then `argosy up` starts it here"
    raise RefusedError(Fault(str(path), "moved", message, hint))


def _apply_and_follow(
    client: ControlClient, apply: Apply, view: UpView, started_at: float, args: argparse.Namespace
) -> int:
    """Apply the fleet file, show progress, then follow; Ctrl-C stops what this command started."""
    summary = None
    starting: list[str] | None = None
    try:
        client.send(apply)
        while summary is None:
            answer = view.next_message(client)
            if isinstance(answer, ApplyPreview):
                starting = [*(starting or ()), *answer.start, *answer.restart]
                view.show_difference(answer)
            elif isinstance(answer, ApplySummary):
                summary = answer
            else:
                _show_change(answer, view)
        seconds = time.monotonic() - started_at
        if args.as_json:
            print_json(summary_json(summary, seconds))
        else:
            view.show_summary(summary, seconds, apply.fleet)
        _save_source_snapshot(apply.fleet)
        if not args.detach and summary.ready:
            _follow(client, view)
    except KeyboardInterrupt:
        if args.detach and starting is None:
            starting = _receive_planned_changes(client)
        to_stop = starting if args.detach else None
        _stop(client, view, to_stop)
        if not client.welcome.is_persistent and not _has_running_agents(client):
            client.wait_exit(_SHUTDOWN_TIMEOUT_S)
        return EXIT_INTERRUPTED
    return 0 if set(summary.not_ready) <= set(summary.optional) and not summary.interrupted else 1


def _show_change(answer: ControlReply, view: UpView) -> None:
    if isinstance(answer, AgentStateChanged):
        view.show_change(answer)
    elif isinstance(answer, MachineStatusChanged):
        view.show_machine(answer)


def _save_source_snapshot(fleet: Fleet) -> None:
    """Save a snapshot of the code that the agents run, for `restart --changed`."""
    root = os.path.dirname(fleet.path)
    own_source_files = [file for agent in fleet.agents.values() for file in list_entry_files(agent, root)]
    update_source_snapshot(locate_state_dir(fleet.path).source_snapshot, root, own_source_files)


def _receive_planned_changes(client: ControlClient) -> list[str]:
    """Return the agents that the apply just sent will start: only these may be stopped."""
    for answer in client.stream():
        if isinstance(answer, ApplyPreview):
            return [*answer.start, *answer.restart]
    raise SupervisorLostError


def _has_running_agents(client: ControlClient) -> bool:
    """Return whether an agent still runs, and with it the supervisor."""
    try:
        report = client.fetch_status()
    except SupervisorLostError:
        return False
    return bool(report.running())


def _follow(client: ControlClient, view: UpView) -> None:
    """Show changes until the supervisor exits or Ctrl-C."""
    client.send(Subscribe())
    view.print_line("the fleet is up; Ctrl-C stops it")
    is_reported = False
    while True:
        try:
            _print_changes(client, view)
        except SupervisorStoppedError as left:
            view.print_line(f"the supervisor was stopped; {left.running} agents keep running")
            return
        except SupervisorUnresponsiveError as silent:  # a SIGSTOP may be followed by SIGCONT
            if not is_reported:
                view.print_line(f"{silent.faults[0].message}; {silent.faults[0].hint}")
            is_reported = True


def _print_changes(client: ControlClient, view: UpView) -> NoReturn:
    """Show changes until the stream ends with an error."""
    for answer in client.stream():
        _show_change(answer, view)
    raise AssertionError("a stream ends by an error")


def _stop(client: ControlClient, view: UpView, names: list[str] | None) -> None:
    """Stop in order; another Ctrl-C kills."""
    view.print_line("stopping; Ctrl-C again kills")
    client.send(Stop(names=names))
    while True:
        try:
            for answer in client.stream():
                if isinstance(answer, Stopped):
                    view.show_stopped(answer, is_partial=names is not None)
                    return
                if isinstance(answer, AgentStateChanged):
                    view.show_change(answer)
        except KeyboardInterrupt:
            client.send(Stop(names=names, force=True))


def summary_json(summary: ApplySummary, seconds: float) -> dict[str, object]:
    """Return the summary as `up/1`."""
    return {
        "argosy": "up/1",
        "declared": summary.declared,
        "ready": summary.ready,
        "degraded": summary.degraded,
        "not_ready": summary.not_ready,
        "left_out": summary.left_out,
        "last_lines": summary.last_lines,
        "adopted": summary.adopted,
        "seconds": round(seconds, 4),
        "critical_path": [
            {"agent": step.agent, "started": round(step.started, 4), "ready": round(step.ready, 4)}
            for step in summary.critical_path
        ],
        "critical_path_seconds": round(summary.critical_path_seconds, 4),
        "hub_trouble": summary.hub or None,
    }
